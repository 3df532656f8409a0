"""Joining the parts of all chunks, in input order, into one CSV file."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from engine.errors import OutputNotWritableError, StorageError
from engine.model import Part
from engine.storage.protocol import Draft, ObjectInfo, Storage

logger = logging.getLogger(__name__)


def merge_csv(
    storage: Storage, target_key: str, header_line: bytes, parts: Iterable[Part], *, draft: Draft | None = None
) -> ObjectInfo:
    """Make a CSV of the header line and the parts as they are. All or nothing.

    Parts are not parsed, nor copied by this process where the storage can do it itself. A second
    run makes the same file again; the parts are kept.

    Args:
        header_line: with its line end, as `csv_format.header_line` gives it.
        parts: in chunk order, as the ledger names them.
        draft: of this very target; it is gone on with if it begins as the file has to, and no more than a help.

    Raises:
        ObjectMissingError: a part is gone.
        OutputNotWritableError: the storage refuses the target.
    """
    segments: list[bytes | Part] = [header_line, *parts]
    if draft is not None and draft.segments == segments[: len(draft.segments)]:
        try:
            for segment in segments[len(draft.segments) :]:
                draft.append(segment)
            return draft.commit()
        except (StorageError, OutputNotWritableError):  # if it was not the draft's fault, it comes again
            logger.warning("result file begun anew", extra={"key": target_key}, exc_info=True)
            draft.discard()
    return storage.concatenate(target_key, segments)

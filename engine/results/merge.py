"""Joining the parts of all chunks, in input order, into one CSV file."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model import Part
from engine.storage.protocol import ObjectInfo, Storage


def merge_csv(storage: Storage, target_key: str, header_line: bytes, parts: Iterable[Part]) -> ObjectInfo:
    """Make a CSV of the header line and the parts as they are. All or nothing.

    Parts are not parsed, nor copied by this process where the storage can do it itself. A second
    run makes the same file again; the parts are kept.

    Args:
        header_line: with its line end, as `csv_format.header_line` gives it.
        parts: in chunk order, as the ledger names them.

    Raises:
        ObjectMissingError: a part is gone.
        OutputNotWritableError: the storage refuses the target.
    """
    return storage.concatenate(target_key, [header_line, *parts])

"""Parts that are read back: what has not the checksum that the ledger keeps of it is read again, and then refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zlib_ng.zlib_ng import crc32

from engine.errors import StorageError
from engine.model import Part
from engine.storage.multipart import Slice

logger = logging.getLogger(__name__)

#: Readings until one is right.
_READINGS = 4


def read_part(read: Callable[[], bytes], part: Part, piece: Slice | None = None) -> bytes:
    """The bytes of a part, or of a slice of it, as they were written.

    Of a whole part the checksum tells; a slice, of which none is known, is read until two readings agree.

    Raises:
        StorageError: no reading is right.
    """
    if part.crc32 is None:
        return read()
    is_whole = piece is None or piece.size_bytes == part.size_bytes
    seen: set[int] = set() if not is_whole else {part.crc32}
    for _ in range(_READINGS):
        data = read()
        found = crc32(data)
        if found in seen:
            return data
        if is_whole:
            logger.warning("bytes of a part are not those that were written", extra={"key": part.key})
        else:
            seen.add(found)
    raise StorageError(
        f"The part {part.key} is not the one that was written: its checksum differs in every reading. Rows that may be "
        "wrong are in no file. Resume the job, or run it anew.",
        key=part.key,
    )

"""Checksums of chunks: taken while a source is scanned, compared whenever a chunk of it is read.

A connection that is not encrypted may change bytes unseen, and so may memory, disks and gateways on the way. Two
readings of the same bytes that differ are noticed, before a row of them is run.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from zlib_ng.zlib_ng import crc32

from engine.errors import StorageError
from engine.model import Chunk
from engine.readers import bytes_to_read

logger = logging.getLogger(__name__)

#: Readings of a chunk until one has the checksum of the scan.
_READINGS = 4


class ChunkSums:
    """Adds to chunks the checksum of their bytes, from the very bytes that they were found in.

    Holds the blocks of the chunk in hand: what a chunk and a record may have at most, and a block more. A chunk
    that has more, because of an overlong record, gets none.
    """

    def __init__(self, start: int, *, max_held_bytes: int, max_record_bytes: int) -> None:
        """
        Args:
            start: offset of the first byte.
        """
        self._end = start
        self._max_held_bytes = max_held_bytes
        self._max_record_bytes = max_record_bytes
        self._held: deque[tuple[int, bytes]] = deque()  # each with its offset
        self._held_bytes = 0

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, remembered until their chunks are known."""
        for block in blocks:
            self._held.append((self._end, block))
            self._end += len(block)
            self._held_bytes += len(block)
            while self._held_bytes > self._max_held_bytes and len(self._held) > 1:
                self._drop_first()
            yield block

    def added(self, chunk: Chunk) -> Chunk:
        """The chunk with its checksum; to be asked for in order."""
        while self._held and self._held[0][0] + len(self._held[0][1]) <= chunk.byte_start:
            self._drop_first()
        end = chunk.byte_start + bytes_to_read(chunk, max_record_bytes=self._max_record_bytes)
        if not self._held or self._held[0][0] > chunk.byte_start or end > self._end:
            return chunk
        found = 0
        for offset, block in self._held:
            if offset >= end:
                break
            piece = memoryview(block)[max(0, chunk.byte_start - offset) : end - offset]
            found = crc32(piece, found)
        return replace(chunk, crc32=found)

    def _drop_first(self) -> None:
        self._held_bytes -= len(self._held.popleft()[1])


def read_checked(read: Callable[[], bytes], chunk: Chunk, source_url: str) -> bytes:
    """The bytes of a chunk as they were when it was planned; read again where they are not.

    Raises:
        StorageError: they differ in every reading, or differed in the one of the scan.
    """
    for _ in range(_READINGS):
        data = read()
        if chunk.crc32 is None or crc32(data) == chunk.crc32:
            return data
        logger.warning("bytes of a chunk are not those of the scan", extra={"chunk_index": chunk.chunk_index})
    raise StorageError(
        f"Bytes {chunk.byte_start:,} to {chunk.byte_end:,} of {source_url} are not those that were scanned, although "
        "its version is the same: the storage, or the way to it, changes what it carries. Nothing of them was run.",
        source=source_url,
        chunk_index=chunk.chunk_index,
    )

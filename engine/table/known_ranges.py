"""The bytes that the looks at a source ask for, read once: its start, its end, and places between them.

Whoever tells its kind, its encoding, its header and its last line asks for much the same bytes, and a request to S3
takes tens of milliseconds, of a small import the most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.config import EngineConfig
from engine.model import Source
from engine.readers import HEAD_BYTES
from engine.storage import open_location

#: Requests under way at once.
_READ_THREADS = 8
#: Ranges kept, the first ones: of a source that begins with a million blank lines all would be.
_MOST_KEPT = 16


class KnownRanges:
    """Reads ranges of the pinned version of one source, and keeps a few of `HEAD_BYTES` and less: 4 MiB at most.

    Raises (all methods):
        SourceChangedError: the source is no longer the pinned one.
    """

    def __init__(self, source: Source, config: EngineConfig) -> None:
        self.source = source
        self._storage, self._key = open_location(source.url, config)
        self._kept: list[tuple[int, bytes]] = []

    @property
    def head(self) -> bytes:
        """The first `HEAD_BYTES` bytes, or all there are."""
        return self.read(0, min(self.source.size_bytes, HEAD_BYTES))

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""
        for kept_start, data in self._kept:
            if kept_start <= start and end <= kept_start + len(data):
                return data[start - kept_start : end - kept_start]
        data = self._storage.read_range(self._key, start, end, etag=self.source.etag)
        if len(data) <= HEAD_BYTES and len(self._kept) < _MOST_KEPT:
            self._kept.append((start, data))
        return data

    def read_several(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `read`, several at once where a request mostly waits."""
        if not self._storage.is_remote or len(ranges) < 2:
            return [self.read(start, end) for start, end in ranges]
        with ThreadPoolExecutor(min(len(ranges), _READ_THREADS), thread_name_prefix="look") as threads:
            return list(threads.map(lambda each: self.read(*each), ranges))

    def blocks(self, start: int, end: int, *, block_bytes: int) -> Iterator[bytes]:
        """The bytes [start, end) in order; those of a source that is known as a whole are not read again."""
        if self.source.size_bytes <= min(HEAD_BYTES, block_bytes):
            return iter([self.read(start, end)] if start < end else [])
        return self._storage.read_blocks(self._key, start, end, block_bytes=block_bytes, etag=self.source.etag)

"""One stored object as a file that can be read anywhere in it: what libraries for archives and tables ask for."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

from engine.storage.protocol import Storage

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes of one request: large enough that reading on costs few round trips, small enough to jump about.
_BUFFER_BYTES = 256 * 1024


class ObjectFile(io.RawIOBase):
    """A read-only, seekable file over `Storage.read_range`, pinned to one version of the object."""

    def __init__(self, storage: Storage, key: str, *, size_bytes: int, etag: str) -> None:
        self._storage = storage
        self._key = key
        self._size_bytes = size_bytes
        self._etag = etag
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, also behind the end, where there is nothing to read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise OSError("a position before the start of the object")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as the object goes.

        Raises:
            SourceChangedError: the object is no longer the pinned one.
        """
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size_bytes)
        if end <= self._position:
            return 0
        data = self._storage.read_range(self._key, self._position, end, etag=self._etag)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_object(storage: Storage, key: str, *, size_bytes: int, etag: str) -> BinaryIO:
    """The object as a buffered file. Nothing is asked of the storage before the first read."""
    raw = ObjectFile(storage, key, size_bytes=size_bytes, etag=etag)
    return io.BufferedReader(raw, _BUFFER_BYTES)

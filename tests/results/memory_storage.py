"""A storage in memory: small, strict, and able to fail; the results are tested over it and over a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from engine.errors import ObjectMissingError, SourceChangedError
from engine.model import Part
from engine.storage.protocol import ObjectInfo, Writer


class MemoryStorage:
    """Keeps objects in a dict; `written_whole` and `streamed` say which keys came how."""

    is_remote = False

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written_whole: list[str] = []
        self.streamed: list[str] = []
        self.fail_writes_after_bytes: int | None = None

    @property
    def url(self) -> str:
        return "/memory"

    def url_of(self, key: str) -> str:
        return f"/memory/{key}"

    def stat(self, key: str) -> ObjectInfo:
        data = self._get(key)
        return ObjectInfo(key=key, size_bytes=len(data), etag=hashlib.sha256(data).hexdigest())

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        data = self._get(key)
        if end > len(data) or (etag and etag != self.stat(key).etag):
            raise SourceChangedError(f"{key} has changed.")
        return data[start:end]

    def read_blocks(
        self, key: str, start: int, end: int, *, block_bytes: int, etag: str | None = None
    ) -> Iterator[bytes]:
        data = self.read_range(key, start, end, etag=etag)
        for at in range(0, len(data), block_bytes):
            yield data[at : at + block_bytes]

    def write(self, key: str, data: bytes | Sequence[bytes]) -> ObjectInfo:
        self.written_whole.append(key)
        self.objects[key] = data if isinstance(data, bytes) else b"".join(data)
        return self.stat(key)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[Writer]:
        writer = _Collect(self.fail_writes_after_bytes)
        yield writer
        self.streamed.append(key)
        self.objects[key] = bytes(writer.data)

    def concatenate(self, key: str, segments: Sequence[bytes | Part]) -> ObjectInfo:
        data = b"".join(s if isinstance(s, bytes) else self._get(s.key) for s in segments)
        return self.write(key, data)

    def draft(self, key: str, draft_key: str) -> None:
        pass

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter([self.stat(key) for key in sorted(self.objects) if key.startswith(prefix)])

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def check_writable(self) -> None:
        return None

    def _get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissingError(f"There is no {key}.", key=key) from None


class _Collect:
    def __init__(self, fail_after_bytes: int | None) -> None:
        self.data = bytearray()
        self._fail_after_bytes = fail_after_bytes

    def write(self, data: bytes, /) -> int:
        self.data += data
        if self._fail_after_bytes is not None and len(self.data) > self._fail_after_bytes:
            raise OSError("the disk is full")
        return len(data)

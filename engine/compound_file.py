"""An OLE2 compound file: which streams an old Office file holds, how one begins, and all of its bytes.

[MS-CFB] describes the format. Sectors are followed in steps that are counted, so that a file whose
sectors point at each other in a circle ends soon.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_HEADER_BYTES = 512
_ENTRY_BYTES = 128
_HEADER_DIFAT_ENTRIES = 109
_MINI_STREAM_BELOW_BYTES = 4096
#: Sectors of the directory that are read at most: thousands of entries; workbooks have some ten.
_MAX_DIRECTORY_SECTORS = 256
_LAST_REGULAR_SECTOR = 0xFFFFFFFA
_MINI_SECTOR_BYTES = 64
_STREAM, _ROOT = 2, 5
_BOF, _FILE_PASS = 0x0809, 0x002F


class CompoundFile:
    """A compound file's directory, read when it is made.

    Raises:
        ValueError: the header or the directory makes no sense.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        header = self._read(0, _HEADER_BYTES)
        (sector_shift,) = struct.unpack_from("<H", header, 30)
        if not header.startswith(SIGNATURE) or sector_shift not in (9, 12):
            raise ValueError("no compound file")
        self._sector_bytes = 1 << sector_shift
        self._difat = struct.unpack_from(f"<{_HEADER_DIFAT_ENTRIES}I", header, 76)
        (self._next_difat_sector,) = struct.unpack_from("<I", header, 68)
        (directory_sector,) = struct.unpack_from("<I", header, 48)
        (self._mini_fat_sector,) = struct.unpack_from("<I", header, 60)
        self._mini_stream = (_LAST_REGULAR_SECTOR, 0)
        self._fat_at_hand: tuple[int, tuple[int, ...]] = (-1, ())
        self.streams: dict[str, tuple[int, int]] = {}
        """Name → first sector and size of every stream, at any depth."""
        for sector in self._chain(directory_sector, _MAX_DIRECTORY_SECTORS):
            self._take_entries(self._sector(sector))

    def starts_with(self, name: str, size: int) -> bytes:
        """The first bytes of a stream; none where it is so short that it has no sectors of its own, and damaged."""
        first_sector, stream_bytes = self.streams[name]
        if stream_bytes < _MINI_STREAM_BELOW_BYTES:
            try:
                return self.read(name)[:size]
            except ValueError:
                return b""
        size = min(size, stream_bytes)
        found = b""
        for sector in self._chain(first_sector, -(-size // self._sector_bytes)):
            found += self._sector(sector)
        return found[:size]

    def read(self, name: str) -> bytes:
        """A stream whole; memory is twice its size, which is that of the file at most.

        Raises:
            ValueError: its sectors, or how many they are, make no sense.
        """
        return b"".join(self._read(start, size) for start, size in self._places(name))

    def with_stream(self, name: str, content: bytes) -> bytes:
        """The file with other bytes, as many, in a stream that was read."""
        self._file.seek(0)
        whole = bytearray(self._file.read())
        place = 0
        for start, size in self._places(name):
            whole[start : start + size] = content[place : place + size]
            place += size
        return bytes(whole)

    def has_encrypted_workbook(self) -> bool:
        """Whether a workbook's stream says among its first records that what follows is encrypted."""
        name = next((name for name in ("Workbook", "Book") if name in self.streams), None)
        data = self.starts_with(name, _MINI_STREAM_BELOW_BYTES) if name else b""
        position = 0
        while position + 4 <= len(data):
            kind, size = struct.unpack_from("<HH", data, position)
            if position == 0 and kind != _BOF:
                return False
            if kind == _FILE_PASS:
                return True
            position += 4 + size
        return False

    def _take_entries(self, data: bytes) -> None:
        for start in range(0, len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            name_bytes, kind = struct.unpack_from("<HB", data, start + 64)
            first_sector, size = struct.unpack_from("<II", data, start + 116)
            if kind == _STREAM and 2 <= name_bytes <= 64:
                name = data[start : start + name_bytes - 2].decode("utf-16-le", "replace")
                self.streams.setdefault(name, (first_sector, size))
            elif kind == _ROOT:
                self._mini_stream = (first_sector, size)

    def _places(self, name: str) -> Iterator[tuple[int, int]]:
        """Where in the file the pieces of a stream are, and how many bytes each."""
        first_sector, size = self.streams[name]
        if size >= _MINI_STREAM_BELOW_BYTES:
            yield from self._pieces(self._chain(first_sector, -(-size // self._sector_bytes)), size)
            return
        pieces = list(self._pieces(self._mini_chain(), self._mini_stream[1]))
        next_sectors = b"".join(
            self._sector(sector) for sector in self._chain(self._mini_fat_sector, _MAX_DIRECTORY_SECTORS)
        )
        sector = first_sector
        for start in range(0, size, _MINI_SECTOR_BYTES):
            place = _place_in(pieces, sector * _MINI_SECTOR_BYTES)
            yield place, min(_MINI_SECTOR_BYTES, size - start)
            if 4 * sector + 4 > len(next_sectors):
                raise ValueError("a chain that leads nowhere")
            (sector,) = struct.unpack_from("<I", next_sectors, 4 * sector)

    def _mini_chain(self) -> Iterator[int]:
        """The sectors in which the streams are that are too short for sectors of their own."""
        first_sector, size = self._mini_stream
        return self._chain(first_sector, min(-(-size // self._sector_bytes), _MAX_DIRECTORY_SECTORS))

    def _pieces(self, sectors: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
        """So many bytes of sectors as pieces, neighbours being one."""
        self._file.seek(0, os.SEEK_END)
        if size > self._file.tell():
            raise ValueError("a stream that is larger than the file")
        start = end = 0
        for sector in sectors:
            place = (sector + 1) * self._sector_bytes
            if place != end:
                if end > start:
                    yield start, end - start
                start = end = place
            end += min(self._sector_bytes, size)
            size -= min(self._sector_bytes, size)
        if end > start:
            yield start, end - start
        if size:
            raise ValueError("a chain that breaks off")

    def _chain(self, sector: int, most: int) -> Iterator[int]:
        """The sectors of a stream from `sector` on, at most so many."""
        for _ in range(most):
            if sector >= _LAST_REGULAR_SECTOR:
                return
            yield sector
            sector = self._next_sector(sector)

    def _next_sector(self, sector: int) -> int:
        per_sector = self._sector_bytes // 4
        index, position = divmod(sector, per_sector)
        if self._fat_at_hand[0] != index:
            following = struct.unpack(f"<{per_sector}I", self._sector(self._fat_sector(index)))
            self._fat_at_hand = (index, following)
        return int(self._fat_at_hand[1][position])

    def _fat_sector(self, index: int) -> int:
        if index < _HEADER_DIFAT_ENTRIES:
            return int(self._difat[index])
        per_sector = self._sector_bytes // 4 - 1  # the last one points at the next sector of the list
        steps, position = divmod(index - _HEADER_DIFAT_ENTRIES, per_sector)
        sector = self._next_difat_sector
        for _ in range(min(steps, _MAX_DIRECTORY_SECTORS)):
            (sector,) = struct.unpack_from("<I", self._sector(sector), 4 * per_sector)
        return int(struct.unpack_from("<I", self._sector(sector), 4 * position)[0])

    def _sector(self, sector: int) -> bytes:
        if sector >= _LAST_REGULAR_SECTOR:
            raise ValueError("a chain that leads nowhere")
        return self._read((sector + 1) * self._sector_bytes, self._sector_bytes)

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError("a file that breaks off")
        return data


def _place_in(pieces: list[tuple[int, int]], position: int) -> int:
    """Where in the file a byte of what these pieces make up is."""
    for start, size in pieces:
        if position < size:
            return start + position
        position -= size
    raise ValueError("a chain that leads nowhere")

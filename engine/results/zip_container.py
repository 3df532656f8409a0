"""A zip file put together from members that are compressed already. Pure.

Python's `zipfile` compresses every member itself, one after the other, in one process. Sources of
the format: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", version 6.3; of the arithmetic on
checksums: Mark Adler, zlib's `crc32_combine`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.model import Part

#: What does not fit into a field of 32 bits stands in a longer one of its own (zip64).
_MAX_32 = 0xFFFF_FFFF
_MAX_16 = 0xFFFF
_DEFLATED = 8
#: 1980-01-01, 00:00: the earliest there is; a file must not depend on when it was made.
_DATE, _TIME = 0x0021, 0
_VERSION, _VERSION_64 = 20, 45
#: Unix, a regular file that its owner may read and write.
_MADE_BY, _ATTRIBUTES = 3, 0o100600 << 16

#: zlib's polynomial, the highest coefficient in the lowest bit.
_POLYNOMIAL = 0xEDB8_8320


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a zip file says of some bytes."""

    crc32: int = 0
    raw_bytes: int = 0
    """How many they are uncompressed."""

    def then(self, other: Checked) -> Checked:
        """Of these bytes with others behind them."""
        crc32 = _multiply(_zeros(other.raw_bytes), self.crc32) ^ other.crc32
        return Checked(crc32=crc32, raw_bytes=self.raw_bytes + other.raw_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file inside the zip file."""

    name: str
    """ASCII."""
    checked: Checked
    segments: Sequence[bytes | Part]
    """A whole stream of deflate, in pieces."""

    @property
    def size_bytes(self) -> int:
        """Compressed."""
        return sum(len(each) if isinstance(each, bytes) else each.size_bytes for each in self.segments)


def deflated(data: bytes, *, level: int) -> bytes:
    """A whole stream of deflate."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def checked(data: bytes) -> Checked:
    """What a zip file says of these bytes."""
    return Checked(crc32=zlib.crc32(data), raw_bytes=len(data))


def zip_segments(members: Iterable[Member], *, max_32: int = _MAX_32) -> Iterator[bytes | Part]:
    """The zip file, as segments for `Storage.concatenate`; the same members give the same file.

    Args:
        max_32: the largest number for a field of 32 bits; only a test has a reason to lower it.
    """
    directory = []
    position = 0
    for member in members:
        header = _local_header(member, max_32)
        directory.append(_directory_entry(member, position, max_32))
        yield header
        yield from member.segments
        position += len(header) + member.size_bytes
    entries = b"".join(directory)
    yield entries + _end(len(directory), len(entries), position, max_32)


def _local_header(member: Member, max_32: int) -> bytes:
    sizes = (member.checked.raw_bytes, member.size_bytes)
    # The standard wants both sizes here as soon as one does not fit.
    extra = _zip64(sizes) if max(sizes) >= max_32 else b""
    raw_bytes, size_bytes = (_MAX_32, _MAX_32) if extra else sizes
    name = member.name.encode("ascii")
    fixed = struct.pack(
        "<4s5H3L2H",
        b"PK\3\4",
        _VERSION_64 if extra else _VERSION,
        0,
        _DEFLATED,
        _TIME,
        _DATE,
        member.checked.crc32,
        size_bytes,
        raw_bytes,
        len(name),
        len(extra),
    )
    return fixed + name + extra


def _directory_entry(member: Member, position: int, max_32: int) -> bytes:
    numbers = (member.checked.raw_bytes, member.size_bytes, position)
    long_numbers = [number for number in numbers if number >= max_32]
    raw_bytes, size_bytes, position = (_MAX_32 if number >= max_32 else number for number in numbers)
    extra = _zip64(long_numbers) if long_numbers else b""
    version = _VERSION_64 if extra else _VERSION
    name = member.name.encode("ascii")
    fixed = struct.pack(
        "<4s2B5H3L5H2L",
        b"PK\1\2",
        version,
        _MADE_BY,
        version,
        0,
        _DEFLATED,
        _TIME,
        _DATE,
        member.checked.crc32,
        size_bytes,
        raw_bytes,
        len(name),
        len(extra),
        0,
        0,
        0,
        _ATTRIBUTES,
        position,
    )
    return fixed + name + extra


def _zip64(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def _end(count: int, size_bytes: int, position: int, max_32: int) -> bytes:
    """What a reader looks for first, at the end of the file."""
    long_end = b""
    if count >= _MAX_16 or max(size_bytes, position) >= max_32:
        long_end = struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, _VERSION_64, _VERSION_64, 0, 0, count, count, size_bytes, position
        )
        long_end += struct.pack("<4sLQL", b"PK\6\7", 0, position + size_bytes, 1)
        count, size_bytes, position = _MAX_16, _MAX_32, _MAX_32
    return long_end + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size_bytes, position, 0)


def _zeros(count: int) -> int:
    """x to the power of 8 × count, modulo the polynomial: what so many zero bytes do to a checksum."""
    power, square = 1 << 31, 1 << 23  # x to the 0, x to the 8
    while count:
        if count & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        count >>= 1
    return power


def _multiply(one: int, other: int) -> int:
    """The product of two polynomials modulo zlib's."""
    product = 0
    bit = 1 << 31
    while bit:
        if one & bit:
            product ^= other
        other = (other >> 1) ^ (_POLYNOMIAL if other & 1 else 0)
        bit >>= 1
    return product

"""What a ZIP archive holds, listed and inflated within bounds, whatever its headers claim."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from isal import isal_zlib

from engine.errors import SourceDamagedError, SourceFormatError, SourceProtectedError, SourceTooLargeError

#: Entries of an archive at most, where nothing else is said.
MAX_ENTRIES = 1000
#: Bytes handed on in one piece.
PIECE_BYTES = 256 * 1024
#: Bytes of the central directory for one entry: a long path with its extra fields.
_DIRECTORY_BYTES_PER_ENTRY = 1024
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED_FLAG = 1
#: What zipfile raises on directories that make no sense.
_BAD_DIRECTORY = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError, IndexError, OSError)


class _GuardedFile:
    """A file that refuses to read more at once than a central directory may take: zipfile reads what is claimed."""

    def __init__(self, file: BinaryIO, max_read_bytes: int) -> None:
        self._file = file
        self._max_read_bytes = max_read_bytes

    def read(self, size: int = -1) -> bytes:
        if size > self._max_read_bytes:
            raise _DirectoryTooLong
        return self._file.read(size if size >= 0 else self._max_read_bytes)  # all: the last 64 KiB

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _DirectoryTooLong(Exception):
    """The central directory claims to be longer than that of the most entries allowed."""


def list_entries(file: BinaryIO, *, source: str, max_entries: int = MAX_ENTRIES) -> list[zipfile.ZipInfo]:
    """The entries that the central directory names, folders included.

    Raises:
        SourceTooLargeError: there are more than `max_entries`.
        SourceDamagedError: there is no directory, or it makes no sense: the archive is cut or no archive.
    """
    guarded = _GuardedFile(file, max(64 * 1024, max_entries * _DIRECTORY_BYTES_PER_ENTRY) + 1024)
    try:
        with zipfile.ZipFile(cast(BinaryIO, guarded)) as archive:
            entries = archive.infolist()
    except _DirectoryTooLong as error:
        raise _too_many(source, max_entries) from error
    except _BAD_DIRECTORY as error:
        raise SourceDamagedError(
            f"{source} cannot be unpacked: it is cut or damaged ({str(error)[:100]}). Upload it again.", source=source
        ) from error
    if len(entries) > max_entries:
        raise _too_many(source, max_entries)
    return entries


def inflate_entry(file: BinaryIO, entry: zipfile.ZipInfo, *, source: str) -> Iterator[bytes]:
    """The bytes of an entry in pieces, really inflated: the sizes that its headers claim are not looked at.

    Raises:
        SourceProtectedError: the entry is encrypted.
        SourceFormatError: it is compressed by another method than deflate.
        SourceDamagedError: it breaks off, or its checksum is wrong.
    """
    name = shown_name(entry)
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise SourceProtectedError(f"{source} is protected by a password ({name}). Save it without one.", source=source)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceFormatError(
            f"{source} packs {name} by a method that is not supported ({entry.compress_type}). "
            "Pack it again with the usual one, deflate.",
            source=source,
        )
    damaged = SourceDamagedError(f"{source} is damaged: {name} does not unpack. Upload it again.", source=source)
    checksum = 0
    for piece in _pieces(file, entry, damaged):
        checksum = isal_zlib.crc32(piece, checksum)
        yield piece
    if checksum != entry.CRC:
        raise damaged


def shown_name(entry: zipfile.ZipInfo) -> str:
    """An entry's name for a message: short, and nothing in it that a terminal or log would obey."""
    name = entry.filename if len(entry.filename) <= 100 else f"{entry.filename[:97]}..."
    return ascii(name)[1:-1] if not name.isprintable() else name


def _pieces(file: BinaryIO, entry: zipfile.ZipInfo, damaged: SourceDamagedError) -> Iterator[bytes]:
    if entry.header_offset < 0:  # zipfile allows for bytes in front of the archive, and so for too many of them
        raise damaged
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise damaged
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise damaged
    position = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    left = entry.compress_size
    inflater = isal_zlib.decompressobj(-15) if entry.compress_type == zipfile.ZIP_DEFLATED else None
    while left:
        file.seek(position)  # the file may be shared with who reads another entry
        block = file.read(min(left, PIECE_BYTES))
        if not block:
            raise damaged
        position, left = position + len(block), left - len(block)
        if inflater is None:
            yield block
            continue
        try:
            while block and not inflater.eof:
                piece = inflater.decompress(block, PIECE_BYTES)
                block = inflater.unconsumed_tail
                if piece:
                    yield piece
        except isal_zlib.error as error:
            raise damaged from error
        if inflater.eof:
            return
    if inflater is not None:
        yield from _rest(inflater, damaged)


def _rest(inflater: Any, damaged: SourceDamagedError) -> Iterator[bytes]:
    """What the inflater still holds when its input has ended."""
    while not inflater.eof:
        try:
            piece = inflater.decompress(b"", PIECE_BYTES)
        except isal_zlib.error as error:
            raise damaged from error
        if not piece:
            break
        yield piece
    if not inflater.eof:
        raise damaged


def _too_many(source: str, max_entries: int) -> SourceTooLargeError:
    return SourceTooLargeError(
        f"{source} holds more than the {max_entries:,} entries that are allowed.", source=source, limit=max_entries
    )

"""What a ZIP archive holds, listed and inflated within bounds, whatever its headers claim."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, cast

from zlib_ng import zlib_ng

from engine.errors import (
    OptionError,
    SourceDamagedError,
    SourceFormatError,
    SourceProtectedError,
    SourceTooLargeError,
)
from engine.readers.unpack import PIECE_BYTES, undeflate

#: Entries of an archive at most, where nothing else is said.
MAX_ENTRIES = 1000
#: Of the files that a message names.
_NAMES_SHOWN = 10
#: Names of folders, and of files that systems add to archives by themselves.
_NO_FILE = re.compile(r"/$|(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
#: Bytes of the central directory for one entry: a long path with its extra fields.
_DIRECTORY_BYTES_PER_ENTRY = 1024
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DIRECTORY_END, _DIRECTORY_END_SIGNATURE = struct.Struct("<10xH10x"), b"PK\x05\x06"
_MAX_COMMENT_BYTES = 0xFFFF
#: Stands for a number that is told elsewhere.
_MANY_ENTRIES = 0xFFFF
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
            claimed = _claimed_entries(file)
    except _DirectoryTooLong as error:
        raise _too_many(source, max_entries) from error
    except _BAD_DIRECTORY as error:
        raise SourceDamagedError(
            f"{source} cannot be unpacked: it is cut or damaged ({str(error)[:100]}). Upload it again.", source=source
        ) from error
    if len(entries) > max_entries:
        raise _too_many(source, max_entries)
    if claimed not in (len(entries) & _MANY_ENTRIES, _MANY_ENTRIES):
        # A length that is wrong has an entry swallow the next ones.
        raise SourceDamagedError(
            f"{source} cannot be unpacked: it is damaged (it names {len(entries):,} entries, and claims {claimed:,}). "
            "Upload it again.",
            source=source,
        )
    return entries


def _claimed_entries(file: BinaryIO) -> int:
    """How many entries the end of the directory says that there are, found as zipfile does."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _MAX_COMMENT_BYTES - _DIRECTORY_END.size))
    tail = file.read(_MAX_COMMENT_BYTES + _DIRECTORY_END.size)
    place = len(tail) - _DIRECTORY_END.size
    if not tail.startswith(_DIRECTORY_END_SIGNATURE, place):
        place = tail.rfind(_DIRECTORY_END_SIGNATURE)
    return int(_DIRECTORY_END.unpack_from(tail, place)[0])


def inflate_entry(file: BinaryIO, entry: zipfile.ZipInfo, *, source: str) -> Iterator[bytes]:
    """The bytes of an entry in pieces, really inflated: the sizes that its headers claim are not looked at.

    Raises:
        SourceError: as `packed_range` and `inflate_blocks`.
    """
    start, end = packed_range(file, entry, source=source)
    return inflate_blocks(_blocks(file, start, end), entry, source=source)


def packed_range(file: BinaryIO, entry: zipfile.ZipInfo, *, source: str) -> tuple[int, int]:
    """Where in the archive the compressed bytes of an entry stand, half-open.

    Raises:
        SourceProtectedError: the entry is encrypted.
        SourceFormatError: it is compressed by another method than deflate.
        SourceDamagedError: it does not stand where the directory says.
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
    header = b""
    if entry.header_offset >= 0:
        file.seek(entry.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise _damaged(entry, source)
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    start = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    return start, start + entry.compress_size


def inflate_blocks(blocks: Iterable[bytes], entry: zipfile.ZipInfo, *, source: str) -> Iterator[bytes]:
    """The bytes of an entry, of which the compressed ones are given.

    Raises:
        SourceDamagedError: it breaks off, or its checksum is wrong.
    """
    is_deflated = entry.compress_type == zipfile.ZIP_DEFLATED
    checksum = 0
    for piece in undeflate(blocks, source=f"{source} ({shown_name(entry)})") if is_deflated else blocks:
        checksum = zlib_ng.crc32(piece, checksum)
        yield piece
    if checksum != entry.CRC:
        raise _damaged(entry, source)


def choose_member(entries: Sequence[zipfile.ZipInfo], wanted: str | None, *, source: str) -> zipfile.ZipInfo:
    """The one file of an archive, or the one that is wanted; folders and what a Mac adds do not count.

    Raises:
        OptionError: there is no such file.
        SourceFormatError: there is none, or there are several to choose from.
    """
    files = [entry for entry in entries if not _NO_FILE.search(entry.filename)]
    names = ", ".join(shown_name(entry) for entry in files[:_NAMES_SHOWN])
    names += f" and {len(files) - _NAMES_SHOWN:,} more" if len(files) > _NAMES_SHOWN else ""
    if wanted is not None:
        found = [entry for entry in files if entry.filename == wanted]
        if not found:
            raise OptionError(
                f"member must be a file in {source}, not {wanted[:100]!r}; it holds {names or 'no files'}.",
                option="member",
            )
        if len(found) == 1:
            return found[0]
        raise SourceDamagedError(f"{source} holds {shown_name(found[0])} twice. Pack it again.", source=source)
    if not files:
        raise SourceFormatError(f"{source} is an archive without a file. Pack the table into it.", source=source)
    if len(files) > 1:
        raise SourceFormatError(
            f"{source} holds {len(files):,} files ({names}). Name one with the option member, or pack it alone.",
            source=source,
            members=[entry.filename for entry in files[:_NAMES_SHOWN]],
        )
    return files[0]


def shown_name(entry: zipfile.ZipInfo) -> str:
    """An entry's name for a message: short, and nothing in it that a terminal or log would obey."""
    name = entry.filename if len(entry.filename) <= 100 else f"{entry.filename[:97]}..."
    return ascii(name)[1:-1] if not name.isprintable() else name


def _blocks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        file.seek(start)  # the file may be shared with who reads another entry
        block = file.read(min(end - start, PIECE_BYTES))
        if not block:
            return
        start += len(block)
        yield block


def _damaged(entry: zipfile.ZipInfo, source: str) -> SourceDamagedError:
    return SourceDamagedError(
        f"{source} is damaged: {shown_name(entry)} does not unpack. Upload it again.", source=source
    )


def _too_many(source: str, max_entries: int) -> SourceTooLargeError:
    return SourceTooLargeError(
        f"{source} holds more than the {max_entries:,} entries that are allowed.", source=source, limit=max_entries
    )

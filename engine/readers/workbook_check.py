"""A workbook is looked through before a library parses it: nothing in it may take time or memory without end.

The bytes of each part are counted while it is really inflated, since the sizes that headers claim
are the attacker's to choose. Nothing is written anywhere, so the names of the parts are only names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO
from zipfile import ZipInfo

from engine.compound_file import SIGNATURE
from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceFormatError, SourceTooLargeError
from engine.readers.zip_entries import inflate_entry, list_entries, shown_name

#: A part is a bomb by its ratio only beyond this size: small ones of blank cells are harmless.
RATIO_FREE_BYTES = 4 * 1024 * 1024
#: What a document type begins with; without one there are no entities of its own.
_FORBIDDEN = b"<!DOCTYPE"
#: In most parts what is not white space begins within so many bytes.
_START_BYTES = 64
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def check_workbook(
    file: BinaryIO,
    config: EngineConfig,
    *,
    source: str = "The workbook",
    watch: Callable[[str, bytes], None] | None = None,
    first: Sequence[str] = (),
) -> None:
    """Let a workbook pass that is whole, and small and plain enough to be parsed.

    It takes the time of inflating `max_workbook_bytes` at most, and some hundred KiB of memory for
    every 1,000 entries. XLS is no archive and holds no XML: there is nothing to look through.

    Args:
        file: as `tell_kind` found a workbook.
        config: the limits.
        source: its name for messages.
        watch: gets the name of each part with the pieces of it, inflated, in order: who wants to know more of
            them need not inflate them again.
        first: names of parts that come before all others, in this order.

    Raises:
        SourceTooLargeError: it has too many parts, unpacks to too much, or to too many times its size.
        SourceDamagedError: it is cut, a checksum is wrong, or there are two parts of one name.
        SourceFormatError: a part of XML has a document type (DTD), which workbooks never have.
        SourceProtectedError: a part is encrypted.
    """
    file.seek(0)
    if file.read(len(SIGNATURE)) == SIGNATURE:
        return
    entries = list_entries(file, source=source, max_entries=config.max_archive_entries)
    _check_names(entries, source)
    total_bytes = 0
    order = {name: place for place, name in enumerate(first)}
    for entry in sorted(entries, key=lambda entry: order.get(entry.filename, len(order))):  # stable
        total_bytes = _check_entry(file, entry, total_bytes, config, source, watch)


def _check_names(entries: list[ZipInfo], source: str) -> None:
    """Refuse two entries that a reader may take for one: programs differ in which of them they read."""
    seen: set[str] = set()
    for entry in entries:
        # What stands behind a zero byte, zipfile cuts off and others may not.
        name = entry.orig_filename.replace("\\", "/").lstrip("/").partition("\0")[0].casefold()
        while name.startswith("./"):
            name = name[2:].lstrip("/")
        if name in seen:
            raise SourceDamagedError(
                f"{source} holds the part {shown_name(entry)} twice. Save it again with a spreadsheet program.",
                source=source,
            )
        seen.add(name)


def _check_entry(
    file: BinaryIO,
    entry: ZipInfo,
    total_bytes: int,
    config: EngineConfig,
    source: str,
    watch: Callable[[str, bytes], None] | None,
) -> int:
    """Inflate one part; returns the bytes of all parts so far."""
    entry_bytes, search = 0, _Search(entry.filename)
    for piece in inflate_entry(file, entry, source=source):
        entry_bytes += len(piece)
        if total_bytes + entry_bytes > config.max_workbook_bytes:
            raise SourceTooLargeError(
                f"{source} unpacks to more than the {config.max_workbook_bytes:,} bytes that are allowed. "
                "Split it, or save its sheet as CSV.",
                source=source,
                limit=config.max_workbook_bytes,
            )
        if entry_bytes > RATIO_FREE_BYTES and entry_bytes > config.max_unpacked_ratio * entry.compress_size:
            raise SourceTooLargeError(
                f"{source} looks like a decompression bomb: {shown_name(entry)} unpacks to more than "
                f"{config.max_unpacked_ratio:,} times its size. Save its sheet as CSV.",
                source=source,
                limit=config.max_unpacked_ratio,
            )
        if watch is not None:
            watch(entry.filename, piece)
        if search.finds_forbidden(piece):
            raise SourceFormatError(
                f"{source} has a document type (DTD) in {shown_name(entry)}, which workbooks never have. "
                "Save it again with a spreadsheet program.",
                source=source,
            )
    return total_bytes + entry_bytes


class _Search:
    """Looks for a document type in one part, if that is XML: in whole pieces, so that it costs little."""

    def __init__(self, name: str) -> None:
        # A picture is shown, not parsed as a part, and an SVG has a document type as a rule.
        self._is_xml: bool | None = False if name.lower().endswith(".svg") else None
        self._is_wide = False
        self._tail = b""

    def finds_forbidden(self, piece: bytes) -> bool:
        """Show the next bytes of the part."""
        if self._is_xml is None:
            start = piece
            for mark in _MARKS:
                start = start.removeprefix(mark)
            self._is_wide = self._is_wide or b"\0" in start[:4]
            start = start[:_START_BYTES].replace(b"\0", b"").lstrip() or start.replace(b"\0", b"").lstrip()
            if not start:
                return False
            self._is_xml = start.startswith(b"<")
        if not self._is_xml:
            return False
        if self._is_wide:
            piece = piece.replace(b"\0", b"")
        seam = self._tail + piece[: len(_FORBIDDEN)]
        self._tail = (self._tail + piece if len(piece) < len(_FORBIDDEN) else piece)[1 - len(_FORBIDDEN) :]
        return _FORBIDDEN in piece or _FORBIDDEN in seam

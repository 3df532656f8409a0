"""An XLSB workbook whose sheet has marks before its cells, as `marks.py` puts them into XLSX.

The libraries give whole numbers of XLSB without their format, so that its dates would be numbers, and
what else is said in `marks.py` holds here, too. The records of the sheet are written anew, each cell
that is no text as one; what the libraries then read is text. After [MS-XLSB], 2.1.4 and 2.4.
"""

from __future__ import annotations

import io
import posixpath
import struct
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from engine.staging.excel.marks import FORMATTED_MARK, NUMBER_MARK, CellKinds, IrregularSheetError, Marker
from engine.staging.excel.number_formats import number_format
from engine.staging.excel.texts import ERROR_CODES

#: Numbers of records.
_RK, _ERROR, _BOOL, _REAL, _TEXT = 2, 3, 4, 5, 6
_FORMULA_NUMBER, _FORMULA_BOOL, _FORMULA_ERROR = 9, 10, 11
_FORMAT, _XF, _WORKBOOK_PROPERTIES, _SHEET = 44, 47, 153, 156
_BEGIN_CELL_XFS, _END_CELL_XFS = 617, 618
_WORKBOOK = "xl/workbook.bin"
_RELATIONS = "xl/_rels/workbook.bin.rels"
#: What reading the parts raises where they are damaged; then the libraries say what is wrong.
_BROKEN = (
    zipfile.BadZipFile,
    ElementTree.ParseError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    UnicodeDecodeError,
    struct.error,
)


def marked_workbook(path: str, sheet: str) -> tuple[bytes, Marker]:
    """The workbook with marks in one sheet, and what takes them away from its columns.

    Memory is some times that of the sheet's part.

    Raises:
        IrregularSheetError: a part is not where it should be, or not what it should be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _marked(archive, sheet)
    except _BROKEN as error:
        raise IrregularSheetError(str(error)) from error


def sheet_has_cells(path: str, sheet: str) -> bool:
    """Whether a sheet holds any value.

    Raises:
        IrregularSheetError: a part is not where it should be, or not what it should be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part, _ = _place_of(archive, _targets(archive), sheet)
            return any(_RK <= kind <= _FORMULA_ERROR for kind, _ in _records(archive.read(part)))
    except _BROKEN as error:
        raise IrregularSheetError(str(error)) from error


def _targets(archive: zipfile.ZipFile) -> dict[str, tuple[str, str]]:
    """Name of a relation of the workbook → its kind, and the part that it is to."""
    relations = ElementTree.fromstring(archive.read(_RELATIONS))  # noqa: S314 - looked through for entities
    return {
        element.get("Id", ""): (
            element.get("Type", "").rpartition("/")[2],
            posixpath.normpath(posixpath.join("/xl", element.get("Target", ""))).lstrip("/"),
        )
        for element in relations
    }


def _place_of(archive: zipfile.ZipFile, targets: dict[str, tuple[str, str]], sheet: str) -> tuple[str, bool]:
    """The part of a sheet, and whether days count from 1904 on."""
    part, is_1904 = "", False
    for kind, data in _records(archive.read(_WORKBOOK)):
        if kind == _WORKBOOK_PROPERTIES:
            is_1904 = bool(data[0] & 1)
        elif kind == _SHEET:
            relation, end = _text_at(data, 8)
            if _text_at(data, end)[0] == sheet:
                part = targets[relation][1]
    return part, is_1904


def _marked(archive: zipfile.ZipFile, sheet: str) -> tuple[bytes, Marker]:
    targets = _targets(archive)
    part, is_1904 = _place_of(archive, targets, sheet)
    parts = dict(targets.values())
    styles = parts.get("styles")
    marker = Marker(_kinds(archive.read(styles) if styles else b"", is_1904=is_1904), marks_strings=False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as marked:
        marked.writestr(part, _marked_sheet(archive.read(part), marker))
        kept = {"[Content_Types].xml", "_rels/.rels", _WORKBOOK, _RELATIONS, styles, parts.get("sharedStrings")}
        for name in kept & set(archive.namelist()):
            marked.writestr(str(name), archive.read(str(name)))
    return file.getvalue(), marker


def _kinds(styles: bytes, *, is_1904: bool) -> CellKinds:
    codes: dict[int, str] = {}
    numbers: list[int] = []
    is_cell_style = False
    for kind, data in _records(styles):
        if kind == _FORMAT:
            codes[struct.unpack_from("<H", data)[0]] = _text_at(data, 2)[0]
        elif kind in (_BEGIN_CELL_XFS, _END_CELL_XFS):
            is_cell_style = kind == _BEGIN_CELL_XFS
        elif kind == _XF and is_cell_style:
            numbers.append(struct.unpack_from("<H", data, 2)[0])
    found = ((style, number_format(number, codes.get(number))) for style, number in enumerate(numbers))
    return CellKinds(formats=tuple((style, shown) for style, shown in found if shown is not None), is_1904=is_1904)


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each record."""
    place, end = 0, len(data)
    while place < end:
        kind = data[place]
        place += 1
        if kind & 0x80:
            kind = kind & 0x7F | (data[place] & 0x7F) << 7
            place += 1
        size = shift = 0
        while True:
            byte = data[place]
            place += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or shift > 21:
                break
        if place + size > end:
            raise EOFError("a record breaks off")
        yield kind, data[place : place + size]
        place += size


def _marked_sheet(data: bytes, marker: Marker) -> bytes:
    found = bytearray()
    for kind, content in _records(data):
        if kind in (_RK, _REAL, _FORMULA_NUMBER):
            value = _rk(content[8:12]) if kind == _RK else struct.unpack_from("<d", content, 8)[0]
            style = int.from_bytes(content[4:7], "little")
            letter = marker.letters.get(style)
            text = repr(int(value) if value.is_integer() and abs(value) < 1e15 else value)
            text = f"{FORMATTED_MARK}{letter}{text}" if letter else f"{NUMBER_MARK}{text}"
        elif kind in (_BOOL, _FORMULA_BOOL):
            text = "TRUE" if content[8] else "FALSE"
        elif kind in (_ERROR, _FORMULA_ERROR):
            text = ERROR_CODES.get(content[8], "#ERROR!")
        else:
            found += _record(kind, content)
            continue
        found += _record(_TEXT, content[:8] + struct.pack("<I", len(text)) + text.encode("utf-16-le"))
    return bytes(found)


def _rk(data: bytes) -> float:
    number = struct.unpack("<i", data)[0]
    if number & 2:
        value = float(number >> 2)
    else:
        value = struct.unpack("<d", b"\0\0\0\0" + struct.pack("<i", number & ~3))[0]
    return value / 100 if number & 1 else value


def _record(kind: int, content: bytes) -> bytes:
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size = len(content)
    while size >= 0x80:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + content


def _text_at(data: bytes, place: int) -> tuple[str, int]:
    """A text with its length in front, and where it ends."""
    size = struct.unpack_from("<I", data, place)[0] * 2
    return data[place + 4 : place + 4 + size].decode("utf-16-le"), place + 4 + size

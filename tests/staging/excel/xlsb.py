"""XLSB workbooks for tests, as no free program writes them: records of BIFF12 in a ZIP, by [MS-XLSB].

Shared strings, numbers of both kinds, booleans, errors, formulas with their values, and the styles of dates,
times and durations in both date systems. `test_xlsb.py` has other readers say that they are right.
"""

from __future__ import annotations

import datetime
import struct
import zipfile
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from tests.staging.excel.workbooks import CODES, ERROR_CODES, Formatted

#: Style → number format. Of a style's own code, format numbers begin at 164.
_FORMATS = [None, "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss", "[h]:mm:ss", *CODES]
GENERAL, DATE, MOMENT, TIME, DURATION = range(5)
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_EPOCHS = {1900: datetime.datetime(1899, 12, 30), 1904: datetime.datetime(1904, 1, 1)}


def write_xlsb(path: Path | BinaryIO, rows: Iterable[Sequence[Any]], *, epoch: int = 1900) -> None:
    """A workbook with one sheet; None is no cell."""
    rows = list(rows)
    strings: dict[str, int] = {}
    cells = b"".join(_row(y, row, strings, epoch) for y, row in enumerate(rows))
    book = _record(131) + _record(153, struct.pack("<II", epoch == 1904, 0) + _text("")) + _record(143)
    book += _record(156, struct.pack("<II", 0, 1) + _text("rId1") + _text("Table")) + _record(144) + _record(132)
    sheet = (
        _record(129)
        + _record(148, struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1))
        + _record(145)
        + cells
        + _record(146)
        + _record(130)
    )
    table = _record(159, struct.pack("<II", len(strings), len(strings)))
    table += b"".join(_record(19, b"\0" + _text(text)) for text in strings) + _record(160)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="bin" '
        'ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>',
        "_rels/.rels": _relations(officeDocument="xl/workbook.bin"),
        "xl/workbook.bin": book,
        "xl/_rels/workbook.bin.rels": _relations(
            worksheet="worksheets/sheet1.bin", styles="styles.bin", sharedStrings="sharedStrings.bin"
        ),
        "xl/worksheets/sheet1.bin": sheet,
        "xl/styles.bin": _styles(),
        "xl/sharedStrings.bin": table,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def _relations(**targets: str) -> str:
    found = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets.items(), 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}">{found}</Relationships>'


def _styles() -> bytes:
    codes = [(163 + style, code) for style, code in enumerate(_FORMATS) if code is not None]
    found = _record(278) + _record(615, struct.pack("<I", len(codes)))
    found += b"".join(_record(44, struct.pack("<H", number) + _text(code)) for number, code in codes) + _record(616)
    found += _record(617, struct.pack("<I", len(_FORMATS)))
    for style, code in enumerate(_FORMATS):
        found += _record(47, struct.pack("<HHHHHBBHH", 0, 0 if code is None else 163 + style, 0, 0, 0, 0, 0, 0, 1))
    return found + _record(618) + _record(279)


def _row(y: int, row: Sequence[Any], strings: dict[str, int], epoch: int) -> bytes:
    found = _record(0, struct.pack("<IIHHBI", y, 0, 300, 0, 0, 0))
    return found + b"".join(_cell(x, value, strings, epoch) for x, value in enumerate(row) if value is not None)


def _cell(x: int, value: Any, strings: dict[str, int], epoch: int) -> bytes:
    match value:
        case bool():
            return _record(4, _place(x) + bytes([value]))
        case str() if value in ERROR_CODES:
            return _record(3, _place(x) + bytes([ERROR_CODES[value]]))
        case str():
            return _record(7, _place(x) + struct.pack("<I", strings.setdefault(value, len(strings))))
        case datetime.datetime():
            return _number(x, (value - _EPOCHS[epoch]) / datetime.timedelta(days=1), MOMENT)
        case datetime.date():
            moment = datetime.datetime.combine(value, datetime.time())
            return _number(x, (moment - _EPOCHS[epoch]) / datetime.timedelta(days=1), DATE)
        case datetime.time():
            moment = datetime.datetime.combine(datetime.date(2000, 1, 1), value)
            return _number(x, (moment - datetime.datetime(2000, 1, 1)) / datetime.timedelta(days=1), TIME)
        case datetime.timedelta():
            return _number(x, value / datetime.timedelta(days=1), DURATION)
        case Formatted():
            return _number(x, value.value, _FORMATS.index(value.code))
    return _number(x, value, GENERAL)


def _number(x: int, value: float | Decimal, style: int) -> bytes:
    """In the four bytes of an RK number where it is a whole number or one of hundredths that fits, else in eight."""
    number = float(value)
    for hundredths in (0, 1):
        whole = Decimal(str(value)) * (100 if hundredths else 1)
        if whole == int(whole) and -(2**29) <= whole < 2**29 and (hundredths == 0 or int(whole) / 100 == number):
            return _record(2, _place(x, style) + struct.pack("<i", (int(whole) << 2) | 2 | hundredths))
    return _record(5, _place(x, style) + struct.pack("<d", number))


def _place(x: int, style: int = GENERAL) -> bytes:
    return struct.pack("<II", x, style)


def _text(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data) // 2) + data


def _record(kind: int, data: bytes = b"") -> bytes:
    """The number of the record in one byte or two, its size in sevens of bits."""
    head = bytes([kind]) if kind < 0x80 else bytes([(kind & 0x7F) | 0x80, kind >> 7])
    size = len(data)
    while size >= 0x80:
        head += bytes([(size & 0x7F) | 0x80])
        size >>= 7
    return head + bytes([size]) + data

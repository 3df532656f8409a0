"""The cells of an XLS sheet that are no texts, with the formats that say what their user sees.

The libraries give texts of XLS as they are, and of numbers neither the format nor, where it is one of
percent or decimals, what it shows. So the records of the sheet are walked through: numbers, booleans and
errors are taken from there, whole columns at a time, and put into the columns of texts that a library
gives. A chart in a sheet is a sheet within its records, whose cells some versions of the libraries take for
those of the sheet; they are given a workbook in which these records are of a kind that nobody knows.
After [MS-XLS], 2.1.4 and 2.4; BIFF5, of Excel 5 and 95, has the same records of cells and other texts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.compound_file import CompoundFile
from engine.staging.excel.biff8_cells import BOF, EOF, FIXED_TEXTS, HEAD, Cells, cells_of, records
from engine.staging.excel.marks import IrregularSheetError
from engine.staging.excel.number_formats import NumberFormat, number_format
from engine.staging.excel.number_texts import raw_numbers, shown_numbers
from engine.staging.excel.text_bytes import place_texts

#: Numbers of records.
_DATE_1904, _FILE_PASS, _BOUND_SHEET, _XF, _FORMAT = 0x0022, 0x002F, 0x0085, 0x00E0, 0x041E
#: No record of a workbook has this number.
_UNKNOWN = b"\xff\xff"
_BIFF5, _BIFF8 = 0x0500, 0x0600
#: Bytes at the start of the workbook with which its sheets and their charts start, too: record, size, version.
_START_BYTES = 6
#: Characters of a format's code; no program writes more.
_MAX_CODE = 255
#: What reading a damaged file raises; then the libraries say what is wrong.
_BROKEN = (ValueError, IndexError, KeyError, OSError, OverflowError, struct.error)


class XlsBook:
    """The records of a workbook.

    Memory is twice that of the file at most.

    Raises:
        IrregularSheetError: it is damaged, or older than Excel 5.
    """

    def __init__(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                compound = CompoundFile(file)
                name = next(name for name in ("Workbook", "Book") if name in compound.streams)
                self._stream = compound.read(name)
                self._read_globals()
                cleaned = self._without_charts()
                self.content = None if cleaned is None else compound.with_stream(name, cleaned)
                """What the libraries are to read instead of the file; None: the file."""
        except (*_BROKEN, StopIteration) as error:
            raise IrregularSheetError(str(error)) from error

    def typed_cells(self, sheet: int) -> TypedCells:
        """The cells of a sheet, 0-based, that are no texts.

        Raises:
            IrregularSheetError: the records of the sheet are not what they should be.
        """
        try:
            return TypedCells(cells=cells_of(self._stream, self._sheets[sheet]), styles=self._styles)
        except _BROKEN as error:
            raise IrregularSheetError(str(error)) from error

    @property
    def sheet_count(self) -> int:
        """Sheets of any kind."""
        return len(self._sheets)

    def _read_globals(self) -> None:
        stream = self._stream
        is_1904 = False
        codes: dict[int, str] = {}
        numbers: list[int] = []
        self._sheets: list[int] = []
        if HEAD.unpack_from(stream)[0] != BOF:
            raise ValueError("no workbook begins like this")
        (version,) = struct.unpack_from("<H", stream, 4)
        for kind, place, size in records(stream, 0):
            if kind == EOF:
                break
            if kind == _FILE_PASS or version not in (_BIFF5, _BIFF8):
                raise ValueError("encrypted, or of an old version")
            if kind == _DATE_1904:
                is_1904 = struct.unpack_from("<H", stream, place)[0] == 1
            elif kind == _FORMAT:
                content = stream[place : place + size]
                code = _code(content[2:], is_wide=version == _BIFF8)
                codes[struct.unpack_from("<H", content)[0]] = code[:_MAX_CODE]
            elif kind == _XF:
                numbers.append(struct.unpack_from("<H", stream, place + 2)[0])
            elif kind == _BOUND_SHEET:
                self._sheets.append(struct.unpack_from("<I", stream, place)[0])
        found = {number: number_format(number, codes.get(number)) for number in set(numbers)}
        self._styles = _Styles(formats=[found[number] for number in numbers], is_1904=is_1904)

    def _without_charts(self) -> bytes | None:
        """The stream with what is nested in sheets made unknown; None where there is nothing of the kind."""
        stream = self._stream
        if stream.count(stream[:_START_BYTES]) <= 1 + len(self._sheets):
            return None
        found, depth = bytearray(stream), 0
        starts = set()
        with suppress(ValueError):  # behind the last sheet there may be anything
            for kind, place, _ in records(stream, 0):
                if kind == BOF:
                    depth += 1
                    if depth == 1:
                        starts.add(place - HEAD.size)
                if depth > 1:
                    found[place - HEAD.size : place - HEAD.size + 2] = _UNKNOWN
                if kind == EOF:
                    depth -= 1
        # Where sheets do not begin where they should, it is in doubt what is nested in what.
        return bytes(found) if starts.issuperset(self._sheets) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Styles:
    formats: list[NumberFormat | None]
    """By the number of the style."""
    is_1904: bool


class TypedCells:
    """Numbers, booleans and errors of a sheet, as their user sees them."""

    def __init__(self, *, cells: Cells, styles: _Styles) -> None:
        key = cells.columns.astype(np.uint32) << 16 | cells.rows
        order = np.argsort(key, kind="stable")
        key = key[order]
        is_last = np.append(key[1:] != key[:-1], True)[: len(key)]
        self._cells = cells.take(order[is_last])
        self._styles = styles
        self._fixed_texts = pa.array(FIXED_TEXTS)
        # Styles of one format are one, and so are those that there are not.
        numbers = {format_: number for number, format_ in enumerate(dict.fromkeys([None, *styles.formats]))}
        self._formats = list(numbers)
        self._format_of_style = np.zeros(1 << 16, np.uint16)
        self._format_of_style[: len(styles.formats)] = [numbers[format_] for format_ in styles.formats]

    def placed(self, columns: Sequence[pa.Array], first_column: int) -> list[pa.Array]:
        """Columns of texts with these cells in them.

        Args:
            columns: from the first row of the sheet on.
            first_column: 0-based, of the first of them.

        Raises:
            IrregularSheetError: a cell is outside of them.
        """
        found = list(columns)
        of_cell = self._cells.columns
        for column in np.unique(of_cell):
            start, end = np.searchsorted(of_cell, [column, column + 1])
            cells = self._cells.take(slice(start, end))
            index = int(column) - first_column
            if not 0 <= index < len(found) or cells.rows[-1] >= len(found[index]):
                raise IrregularSheetError("a cell where the library has none")
            found[index] = place_texts(found[index], cells.rows.astype(np.intp), self._texts(cells))
        return found

    def _texts(self, cells: Cells) -> pa.Array:
        texts = self._fixed_texts.take(pa.array(cells.fixed))
        formats = self._format_of_style[cells.styles]
        is_number = cells.fixed == 0
        for number in np.unique(formats[is_number]):
            rows = np.flatnonzero(is_number & (formats == number))
            raw = raw_numbers(cells.values[rows])
            texts = place_texts(texts, rows, shown_numbers(raw, self._formats[number], is_1904=self._styles.is_1904))
        return texts


def _code(content: bytes, *, is_wide: bool) -> str:
    """The code of a format: a text with its length in front, in BIFF8 in characters of one byte or two."""
    if not is_wide:
        return content[1 : 1 + content[0]].decode("latin-1")
    size, flags = struct.unpack_from("<HB", content)
    if flags & 1:
        return content[3 : 3 + 2 * size].decode("utf-16-le", "replace")
    return content[3 : 3 + size].decode("latin-1")

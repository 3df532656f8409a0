"""One sheet to batches of text: the same code in this process and in one of its own."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fastexcel
import numpy as np
import pyarrow as pa
import python_calamine

from engine.arrow_form import batch_of
from engine.errors import SourceDamagedError, SourceEmptyError, SourceFormatError, SourceProtectedError
from engine.staging.excel.biff8 import XlsBook
from engine.staging.excel.biff12 import marked_workbook, sheet_has_cells
from engine.staging.excel.cells import read_cells
from engine.staging.excel.columns import holds_texts_only
from engine.staging.excel.layout import Layout, lay_out
from engine.staging.excel.marks import CellKinds, IrregularSheetError
from engine.staging.excel.opendocument import workbook_of_texts
from engine.staging.excel.part_reader import PartReader
from engine.staging.excel.target import Area, SheetName, choose_sheet
from engine.staging.excel.text_bytes import place_texts
from engine.staging.excel.texts import ERROR_TEXTS

#: Columns of a sheet, at most, in any format; a damaged XLS may claim four times as many.
_MAX_COLUMNS = 16_384
#: Rows of a batch on its way to the staged copy.
_ROWS_PER_BATCH = 10_000
_ERROR_CELL = re.compile(r"got 'Error\((\w+)\)'")
#: Times and durations of ODS.
_DURATION_CELL = re.compile(r"got 'DurationIso\(\"PT(\d+)H(\d+)M(\d+)(?:[.,]0*)?S\"\)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be read."""

    path: str
    source: str
    """The workbook's name for messages."""
    sheet: str | int | None
    """As `choose_sheet` takes it."""
    is_named: bool
    """Whether `sheet` is the very name of a sheet, found before."""
    area: Area | None
    skip_rows: int | None
    header_rows: int
    kind: str
    """Of workbook: "xlsx", "xlsm", "xlsb", "xls" or "ods"."""
    kinds: CellKinds | None
    """What the workbook says of the cells of the sheet, whose parts are fed then; None: it is read from the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetTable:
    """The table of a sheet, in memory."""

    sheet: str
    columns: list[pa.Array]
    layout: Layout
    first_row: int
    """0-based row of the sheet at which `columns` begin."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The data rows in the staged form."""
        layout = self.layout
        used = self.columns[layout.first_column : layout.end_column]
        for start in range(layout.first_row, layout.end_row, _ROWS_PER_BATCH):
            rows = min(_ROWS_PER_BATCH, layout.end_row - start)
            yield batch_of([column.slice(start, rows) for column in used])


class SheetReader:
    """Reads the wanted sheet, or a rectangle of it, whole: from the bytes of its parts, or else from the file."""

    def __init__(self, request: Request, *, in_threads: bool) -> None:
        self._request = request
        self._parts: PartReader | None = None
        if request.kinds is not None:
            self._parts = PartReader(request.kinds, in_threads=in_threads)

    def feed(self, block: bytes, *, is_strings: bool) -> None:
        """The next bytes of the shared strings, all of which come first, or of the sheet."""
        if self._parts is None:
            return
        try:
            if is_strings:
                self._parts.feed_strings(block)
            else:
                self._parts.feed_rows(block)
        except IrregularSheetError:
            self.close()

    def table(self) -> SheetTable:
        """The table; what is fed, is fed by now.

        The libraries hold a sheet as the rectangle around its cells, so that two cells far apart may take all memory:
        this is for a process whose memory is limited.

        Raises:
            SourceError: the workbook or the sheet cannot be read, or is empty.
            OptionError: there is no such sheet.
        """
        return self.table_of_parts() or _table(self._request, *_read_whole(self._request))

    def table_of_parts(self) -> SheetTable | None:
        """The table from what was fed, in memory of its size; None where the libraries have to read the file.

        Raises:
            SourceError: the sheet is empty.
        """
        if self._parts is None:
            return None
        try:
            columns = self._parts.columns()
        except IrregularSheetError:
            return None
        finally:
            self.close()
        return _table(self._request, str(self._request.sheet), columns, first_column=0)

    def close(self) -> None:
        """End what is running."""
        if self._parts is not None:
            self._parts.close()
            self._parts = None


def _table(request: Request, name: str, columns: list[pa.Array], first_column: int) -> SheetTable:
    """The table among the cells of a sheet.

    Args:
        columns: from the first row of the sheet on.
        first_column: 0-based, of the first of them.
    """
    area, first_row = request.area, 0
    if area is not None:
        first_row = area.first_row
        columns = _cut_out(columns, area, first_column)
    if not columns or not len(columns[0]):
        place = "is empty" if area is None else "has no cells in the range that was asked for"
        raise SourceEmptyError(f'The sheet "{name}" of {request.source} {place}.', source=request.source)
    layout = lay_out(columns, skip_rows=request.skip_rows, header_rows=request.header_rows)
    if not layout.header_records and layout.first_row == layout.end_row:
        raise SourceEmptyError(
            f'The sheet "{name}" of {request.source} holds no cell below the rows that are skipped.',
            source=request.source,
        )
    if len(layout.header_records) < request.header_rows:
        raise SourceFormatError(
            f'The sheet "{name}" of {request.source} has {len(layout.header_records):,} row(s), fewer than the '
            f"{request.header_rows:,} of the header. Say header_rows.",
            source=request.source,
        )
    return SheetTable(sheet=name, columns=columns, layout=layout, first_row=first_row)


def _read_whole(request: Request) -> tuple[str, list[pa.Array], int]:
    """The sheet's name, its cells from its first row on, and the first of its columns."""
    read = _WITH_FORMATS.get(request.kind)
    if read is not None:
        try:
            return read(request)
        except IrregularSheetError:
            pass  # the libraries may know their way about, or tell what is wrong
    content = workbook_of_texts(request.path) if request.kind == "ods" else None
    name, columns, errors, unreadable = _load(request, content)
    _check_width(columns, name, request)
    settled = [
        None if index in unreadable or not holds_texts_only(column) else column for index, column in enumerate(columns)
    ]
    open_columns = [index for index, column in enumerate(settled) if column is None]
    first_column = 0
    if open_columns or request.area is not None:
        with (
            _library_errors(request.source),
            python_calamine.load_workbook(request.path if content is None else io.BytesIO(content)) as workbook,
        ):
            cells = workbook.get_sheet_by_name(name)
            first_column = (cells.start or (0, 0))[1]
            if open_columns:
                for index, column in read_cells(cells, open_columns).items():
                    settled[index] = column
    found = [
        place_texts(column, np.array(rows), pa.array([texts[row] for row in rows], pa.string()))
        for column, texts, rows in (
            (column, errors.get(i, {}), sorted(errors.get(i, {}))) for i, column in enumerate(settled)
        )
    ]
    return name, found, first_column


def _read_marked(request: Request) -> tuple[str, list[pa.Array], int]:
    """As `_read_whole`, of XLSB.

    Raises:
        IrregularSheetError: as `marked_workbook`.
    """
    with _library_errors(request.source), python_calamine.load_workbook(request.path) as workbook:
        sheets = _worksheets(workbook)
    name = choose_sheet(sheets, request.sheet, lambda name: sheet_has_cells(request.path, name), source=request.source)
    content, marker = marked_workbook(request.path, name)
    with _library_errors(request.source):
        sheet = fastexcel.read_excel(content).load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
        columns = [marker.unmark(column, None) for column in sheet.to_arrow().columns]
        first_column = 0
        if request.area is not None:
            with python_calamine.load_workbook(io.BytesIO(content)) as workbook:
                first_column = (workbook.get_sheet_by_name(name).start or (0, 0))[1]
    return name, columns, first_column


def _read_typed(request: Request) -> tuple[str, list[pa.Array], int]:
    """As `_read_whole`, of XLS.

    Raises:
        IrregularSheetError: as `XlsBook`.
    """
    book = XlsBook(request.path)
    with _library_errors(request.source):
        source = request.path if book.content is None else io.BytesIO(book.content)
        with python_calamine.load_workbook(source) as workbook:
            names = [sheet.name for sheet in workbook.sheets_metadata]
            if len(names) != book.sheet_count:
                raise IrregularSheetError("sheets that the library does not see")
            name = choose_sheet(
                _worksheets(workbook),
                request.sheet,
                lambda name: workbook.get_sheet_by_name(name).start is not None,
                source=request.source,
            )
            first_column = (workbook.get_sheet_by_name(name).start or (0, 0))[1]
        reader = fastexcel.read_excel(request.path if book.content is None else book.content)
        columns = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string").to_arrow().columns
    _check_width(columns, name, request)
    # Of two sheets of one name the library has the last.
    sheet = len(names) - 1 - names[::-1].index(name)
    return name, book.typed_cells(sheet).placed(columns, first_column), first_column


#: Of the kinds whose cells have formats that the libraries do not give → what reads them with these.
_WITH_FORMATS = {"xlsb": _read_marked, "xls": _read_typed}


def _check_width(columns: Sequence[pa.Array], name: str, request: Request) -> None:
    if len(columns) > _MAX_COLUMNS:
        raise SourceDamagedError(
            f'The sheet "{name}" of {request.source} is damaged: it claims {len(columns):,} columns. '
            "Open it in a spreadsheet program and save it again.",
            source=request.source,
        )


def _load(request: Request, content: bytes | None) -> tuple[str, list[pa.Array], dict[int, dict[int, str]], set[int]]:
    """The sheet's name, its columns as text, the text of what has none there by column and row, columns not read."""
    with _library_errors(request.source):
        reader = fastexcel.read_excel(request.path if content is None else content)
        loaded: dict[str, Any] = {}

        def load(name: str) -> Any:
            if name not in loaded:
                loaded.clear()
                loaded[name] = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
            return loaded[name]

        if request.is_named:
            name = str(request.sheet)
        else:
            with python_calamine.load_workbook(request.path) as workbook:
                sheets = _worksheets(workbook)
            name = choose_sheet(
                sheets,
                request.sheet,
                lambda name: bool(load(name).height),
                source=request.source,
            )
        batch, wrong = load(name).to_arrow_with_errors()
    errors: dict[int, dict[int, str]] = {}
    unreadable: set[int] = set()
    for error in wrong.errors if wrong is not None else ():
        row, column = error.position
        if kind := _ERROR_CELL.search(error.detail):
            errors.setdefault(column, {})[row] = ERROR_TEXTS.get(kind[1], f"#{kind[1].upper()}")
        elif clock := _DURATION_CELL.search(error.detail):
            errors.setdefault(column, {})[row] = ":".join(number.zfill(2) for number in clock.groups())
        else:
            unreadable.add(column)
    return name, list(batch.columns), errors, unreadable


def _worksheets(workbook: python_calamine.CalamineWorkbook) -> list[SheetName]:
    return [
        SheetName(name=sheet.name, is_visible=sheet.visible == python_calamine.SheetVisibleEnum.Visible)
        for sheet in workbook.sheets_metadata
        if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
    ]


def _cut_out(columns: list[pa.Array], area: Area, first_column: int) -> list[pa.Array]:
    start, end = max(0, area.first_column - first_column), max(0, area.end_column - first_column)
    rows = None if area.end_row is None else area.end_row - area.first_row
    return [column.slice(area.first_row, rows) for column in columns[start:end]]


@contextmanager
def _library_errors(source: str) -> Iterator[None]:
    """Turns what the libraries raise into the engine's errors."""
    try:
        yield
    except BaseException as error:
        # A panic of the library, which a damaged workbook may cause, is no Exception and has no public class.
        is_of_library = isinstance(error, fastexcel.FastExcelError | python_calamine.CalamineError)
        # Python has no duration of as many days as the library found.
        is_of_library = is_of_library or isinstance(error, OverflowError)
        # An OSError of the system has a number; one of the library says that the file is too short.
        is_of_library = is_of_library or (isinstance(error, OSError) and error.errno is None)
        if not is_of_library and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, python_calamine.PasswordError) or "password" in str(error).lower():
            raise SourceProtectedError(
                f"{source} is protected by a password. Save it without one and import that.", source=source
            ) from error
        why = str(error).partition("\n")[0].strip()[:300]
        raise SourceDamagedError(
            f"{source} cannot be read as a workbook: {why}. Open it in a spreadsheet program and save it again.",
            source=source,
        ) from error

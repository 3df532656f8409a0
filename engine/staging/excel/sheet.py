"""One sheet from file to batches of text: the same code in this process and in one of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fastexcel
import pyarrow as pa
import python_calamine

from engine.arrow_form import batch_of
from engine.errors import SourceDamagedError, SourceEmptyError, SourceProtectedError
from engine.staging.excel.cells import read_cells
from engine.staging.excel.columns import place_texts, settle_column
from engine.staging.excel.facts import Facts
from engine.staging.excel.layout import Layout, lay_out
from engine.staging.excel.target import Area, SheetName, choose_sheet
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


def read_sheet(request: Request, facts_of: Callable[[], Facts]) -> SheetTable:
    """Read the wanted sheet, or the wanted rectangle of it, whole.

    Args:
        facts_of: asked once the library has parsed the sheet, which is what takes the time.

    Raises:
        SourceError: the workbook or the sheet cannot be read, or is empty.
        OptionError: there is no such sheet.
    """
    name, columns, errors, unreadable = _load(request)
    if len(columns) > _MAX_COLUMNS:
        raise SourceDamagedError(
            f'The sheet "{name}" of {request.source} is damaged: it claims {len(columns):,} columns. '
            "Open it in a spreadsheet program and save it again.",
            source=request.source,
        )
    facts = facts_of()
    settled = [None if index in unreadable else settle_column(column, facts) for index, column in enumerate(columns)]
    area = request.area
    first_row = 0
    open_columns = [index for index, column in enumerate(settled) if column is None]
    if open_columns or area is not None:
        with _library_errors(request.source), python_calamine.load_workbook(request.path) as workbook:
            cells = workbook.get_sheet_by_name(name)
            first_column = (cells.start or (0, 0))[1]
            if open_columns:
                for index, column in read_cells(cells, open_columns, facts).items():
                    settled[index] = column
    found = [place_texts(column, errors.get(index, {})) for index, column in enumerate(settled)]
    if area is not None:
        first_row = area.first_row
        found = _cut_out(found, area, first_column)
    if not found or not len(found[0]):
        place = "is empty" if area is None else "has no cells in the range that was asked for"
        raise SourceEmptyError(f'The sheet "{name}" of {request.source} {place}.', source=request.source)
    layout = lay_out(found, skip_rows=request.skip_rows, header_rows=request.header_rows)
    if not layout.header_records and layout.first_row == layout.end_row:
        raise SourceEmptyError(
            f'The sheet "{name}" of {request.source} holds no cell below the rows that are skipped.',
            source=request.source,
        )
    return SheetTable(sheet=name, columns=found, layout=layout, first_row=first_row)


def _load(request: Request) -> tuple[str, list[pa.Array], dict[int, dict[int, str]], set[int]]:
    """The sheet's name, its columns as text, the text of what has none there by column and row, columns not read."""
    with _library_errors(request.source):
        reader = fastexcel.read_excel(request.path)
        loaded: dict[str, Any] = {}

        def load(name: str) -> Any:
            if name not in loaded:
                loaded.clear()
                loaded[name] = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
            return loaded[name]

        if request.is_named:
            name = str(request.sheet)
        else:
            name = choose_sheet(
                _worksheets(request.path),
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


def _worksheets(path: str) -> list[SheetName]:
    with python_calamine.load_workbook(path) as workbook:
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

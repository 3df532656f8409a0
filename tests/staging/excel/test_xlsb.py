"""XLSB, written by `xlsb.py`: other readers find the table in it that was written, and so does the engine."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import python_calamine
import pyxlsb
from hypothesis import given
from hypothesis import strategies as st

from engine import inspect, read_rows
from engine.staging.excel.sheet import Request, SheetReader
from tests.readers.strategies import examples
from tests.staging.excel.workbooks import ERROR_CODES, ERRORS, expected_text, tables
from tests.staging.excel.xlsb import write_xlsb

MOMENT = datetime.datetime(2024, 2, 29, 13, 5, 7)
ROWS: list[list[Any]] = [
    ["text", "number", "flag", "day", "moment", "time", "duration", "error"],
    ["007", 1, True, datetime.date(2024, 2, 29), MOMENT, datetime.time(13, 5), datetime.timedelta(hours=36), "#N/A"],
    ["true", Decimal("2.55"), False, datetime.date(1999, 12, 31), MOMENT, None, datetime.timedelta(minutes=5), None],
    ["two\nlines", Decimal("-0.125"), None, None, datetime.datetime(2024, 3, 1), None, None, "#DIV/0!"],
    ["ü 漢 😀", 10**15, None, None, None, None, None, "#REF!"],
    ["", -(2**28), None, None, None, None, None, None],
]


@pytest.mark.parametrize("epoch", [1900, 1904])
def test_other_readers_find_what_was_written(tmp_path: Path, epoch: int) -> None:
    path = tmp_path / "t.xlsb"
    write_xlsb(path, ROWS, epoch=epoch)
    with python_calamine.load_workbook(path) as workbook:
        found = workbook.get_sheet_by_name("Table").to_python()
    # Whole numbers come without their format, hence the engine's own look at the styles.
    kept = [[value if value is not None and value not in ERRORS else "" for value in row] for row in ROWS]
    day = (datetime.date(2024, 2, 29) - datetime.date(1899, 12, 30)).days - (1462 if epoch == 1904 else 0)
    kept[1][3], kept[2][3], kept[3][4] = day, day - 8826, day + 1
    assert [[Decimal(str(cell)) if isinstance(cell, float) else cell for cell in row] for row in found] == kept
    with pyxlsb.open_workbook(str(path)) as workbook, workbook.get_sheet("Table") as sheet:
        raw = [[cell.v for cell in row] for row in sheet.rows(sparse=True)]
    assert raw[1][:4] == ["007", 1, True, day]
    assert raw[1][-1] == hex(ERROR_CODES["#N/A"])
    assert raw[1][6] == 1.5


@pytest.mark.parametrize("epoch", [1900, 1904])
def test_the_same_rows_as_csv(tmp_path: Path, epoch: int) -> None:
    path = tmp_path / "t.xlsb"
    write_xlsb(path, ROWS, epoch=epoch)
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([expected_text(value) for value in row] for row in ROWS)
    assert list(read_rows(path)) == list(read_rows(tmp_path / "t.csv"))
    assert inspect(path).details["kind"] == "xlsb"
    assert inspect(path).details["sheet"] == "Table"


@examples(60)
@given(tables(), st.sampled_from([1900, 1904]))
def test_every_kind_of_cell(tmp_path: Path, rows: list[list[Any]], epoch: int) -> None:
    path = tmp_path / "t.xlsb"
    write_xlsb(path, rows, epoch=epoch)
    assert _rows_read_here(path) == [[expected_text(value) for value in row] for row in rows]


def _rows_read_here(path: Path) -> list[list[str]]:
    """Without a header, and without the process that each workbook has by `read_rows`."""
    request = Request(
        path=str(path), source="t", sheet=None, is_named=False, area=None, skip_rows=None, header_rows=0, kind="xlsb",
        kinds=None,
    )  # fmt: skip
    table = SheetReader(request, in_threads=False).table()
    place = table.layout
    columns = [column.to_pylist() for column in table.columns[place.first_column : place.end_column]]
    return [[column[row] or "" for column in columns] for row in range(place.first_row, place.end_row)]

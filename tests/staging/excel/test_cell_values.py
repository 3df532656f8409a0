"""Every kind of cell comes as the user sees it, whoever wrote the workbook and whatever else its column holds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import read_rows
from engine.staging.excel.facts import Facts
from engine.staging.excel.sheet import Request, read_sheet
from tests.readers.strategies import examples
from tests.staging.excel.workbooks import expected_text, tables, write_openpyxl, write_xlsxwriter

WRITERS = [write_openpyxl, write_xlsxwriter]
epochs = st.sampled_from([1900, 1904])


@pytest.mark.parametrize("write", WRITERS)
@examples(120)
@given(tables(), epochs)
def test_every_kind_of_cell(tmp_path: Path, write: Any, rows: list[list[Any]], epoch: int) -> None:
    path = write(tmp_path / "t.xlsx", rows, epoch=epoch)
    expected = [[expected_text(value) for value in row] for row in rows]
    assert list(read_rows(path)) == expected[1:]


@examples(60)
@given(tables())
def test_the_same_table_as_csv(tmp_path: Path, rows: list[list[Any]]) -> None:
    xlsx = write_xlsxwriter(tmp_path / "t.xlsx", rows, constant_memory=True)
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([expected_text(value) for value in row] for row in rows)
    plain = {"delimiter": ",", "quote_char": '"', "encoding": "utf-8"}
    of_csv = [row or [""] for row in read_rows(tmp_path / "t.csv", **plain)]
    assert list(read_rows(xlsx)) == of_csv


@pytest.mark.parametrize("write", WRITERS)
@examples(60)
@given(tables())
def test_the_fast_way_and_the_exact_way_agree(tmp_path: Path, write: Any, rows: list[list[Any]]) -> None:
    """Where nothing is known of the sheet, every column that could be of two kinds is read cell by cell."""
    path = write(tmp_path / "t.xlsx", rows)
    request = Request(path=str(path), source="t", sheet=None, is_named=False, area=None, skip_rows=None, header_rows=0)
    slow = read_sheet(request, Facts)
    found = [column.fill_null("").to_pylist() for column in slow.columns]
    # Without the styles a moment at midnight is a date.
    expected = [[expected_text(value).removesuffix(" 00:00:00") for value in row] for row in rows]
    assert [[cell.removesuffix(" 00:00:00") for cell in row] for row in zip(*found, strict=True)] == expected

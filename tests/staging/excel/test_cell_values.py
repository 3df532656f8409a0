"""Every kind of cell comes as the user sees it, whoever wrote the workbook and whatever else its column holds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import read_rows
from engine.staging.excel import part_reader, piece_parser, pieces, sheet
from engine.staging.excel.sheet import Request, SheetReader
from tests.readers.strategies import examples
from tests.staging.excel.workbooks import Formatted, expected_text, tables, write_openpyxl, write_xlsxwriter

WRITERS = [write_openpyxl, write_xlsxwriter]
epochs = st.sampled_from([1900, 1904])


@pytest.mark.parametrize("write", WRITERS)
@examples(120)
@given(tables(), epochs)
def test_every_kind_of_cell(tmp_path: Path, write: Any, rows: list[list[Any]], epoch: int) -> None:
    path = write(tmp_path / "t.xlsx", rows, epoch=epoch)
    expected = [[expected_text(value) for value in row] for row in rows]
    assert list(read_rows(path)) == expected[1:]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("few_strings_bytes", [0, 1 << 20])
@pytest.mark.parametrize("implementation", ["compiled", "python"])
@examples(20)
@given(tables(), epochs, st.integers(100, 1_000))
def test_every_kind_of_cell_in_pieces(
    tmp_path: Path,
    write: Any,
    few_strings_bytes: int,
    implementation: str,
    rows: list[list[Any]],
    epoch: int,
    piece_bytes: int,
) -> None:
    """However the XML is cut, whether pieces know the shared strings or refer to them, and whoever parses them."""
    rows = [rows[0], *rows[1:-1] * 5, rows[-1]]
    path = write(tmp_path / "t.xlsx", rows, epoch=epoch)
    expected = [[expected_text(value) for value in row] for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", piece_bytes)
        patch.setattr(part_reader, "_FEW_STRINGS_BYTES", few_strings_bytes)
        if implementation == "python":
            patch.setattr(piece_parser, "loops", None)
            patch.setattr(part_reader, "loops", None)
        else:
            patch.setattr(piece_parser, "_load", None)  # nothing is left to fastexcel
        # Not read whole after all, as what is irregular is.
        patch.setattr(sheet, "_read_whole", None)
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
    """Where the parts are not looked at, every column that does not hold texts only is read cell by cell."""
    path = write(tmp_path / "t.xlsx", rows)
    request = Request(
        path=str(path),
        source="t",
        sheet=None,
        is_named=False,
        area=None,
        skip_rows=None,
        header_rows=0,
        kind="xlsx",
        kinds=None,
    )
    # Percentages and decimals need the styles, as times of day at midnight do.
    rows = [[None if isinstance(value, Formatted) else value for value in row] for row in rows]
    path = write(path, rows)
    slow = SheetReader(request, in_threads=False).table()
    found = [column.fill_null("").to_pylist() for column in slow.columns]
    # Without the styles a moment at midnight is a date.
    expected = [[expected_text(value).removesuffix(" 00:00:00") for value in row] for row in rows]
    assert [[cell.removesuffix(" 00:00:00") for cell in row] for row in zip(*found, strict=True)] == expected

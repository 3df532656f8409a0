"""XLS as the rows of the same table in XLSX: by xlwt, LibreOffice and Gnumeric, with charts, and damaged."""

from __future__ import annotations

import contextlib
import io
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import python_calamine
from hypothesis import given
from hypothesis import strategies as st

from engine import read_rows
from engine.compound_file import CompoundFile
from engine.staging.excel import sheet
from engine.staging.excel.biff8 import XlsBook
from engine.staging.excel.marks import IrregularSheetError
from engine.staging.excel.sheet import Request, SheetReader
from tests.readers.strategies import examples
from tests.sources import compound_file
from tests.staging.excel.workbooks import Formatted, expected_text, tables, write_openpyxl, write_xlwt

FIXTURES = Path(__file__).with_name("fixtures")
BIFF8 = struct.pack("<HH", 0x0600, 0x0005)


def read_here(path: Path, *, sheet: str | int | None = None) -> list[list[str]]:
    """The rows, by this process: a parser's own costs a start."""
    request = Request(
        path=str(path), source="t", sheet=sheet, is_named=False, area=None, skip_rows=0, header_rows=0, kind="xls",
        kinds=None,
    )  # fmt: skip
    table = SheetReader(request, in_threads=False).table()
    return [list(row) for row in zip(*(column.fill_null("").to_pylist() for column in table.columns), strict=True)]


@pytest.fixture
def never_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is irregular is read without formats; here nothing may be."""
    monkeypatch.setattr(sheet, "read_cells", None)


@pytest.mark.usefixtures("never_cell_by_cell")
@examples(150)
@given(tables(), st.sampled_from([1900, 1904]))
def test_every_kind_of_cell(tmp_path: Path, rows: list[list[Any]], epoch: int) -> None:
    path = write_xlwt(tmp_path / "t.xls", rows, epoch=epoch)
    assert read_here(path) == [[expected_text(value) for value in row] for row in rows]


@pytest.mark.parametrize("epoch", [1900, 1904])
def test_the_same_rows_as_of_xlsx_by_the_parsers_process(tmp_path: Path, epoch: int) -> None:
    codes = ("0%", "0.00%", "0.00")
    rows: list[list[Any]] = [["number", *codes]]
    for text in (
        "0",
        "1",
        "-7",
        "0.5",
        "1.5",
        "12.34",
        "0.12345",
        "-0.01",
        "536870911",
        "536870912",
        "-536870913",
        "1e300",
    ):
        number = Decimal(text)
        rows.append([number, *(Formatted(number, code) for code in codes)])
    xls = write_xlwt(tmp_path / "t.xls", rows, epoch=epoch)
    assert list(read_rows(xls)) == list(read_rows(write_openpyxl(tmp_path / "t.xlsx", rows, epoch=epoch)))
    with python_calamine.load_workbook(xls) as workbook:
        values = [row[0] for row in workbook.get_sheet_by_name("Table").to_python()[1:]]
    assert values == [float(row[0]) for row in rows[1:]]


@pytest.mark.parametrize("name", ["codes-libreoffice", "codes-gnumeric", "codes-gnumeric-95"])
def test_many_formats_saved_by_other_programs(name: str) -> None:
    """One and the same as of the XLSX that they were given; `-95` is BIFF5."""
    assert list(read_rows(FIXTURES / f"{name}.xls")) == list(read_rows(FIXTURES / "codes.xlsx"))


def test_a_table_that_does_not_begin_in_the_first_cell(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [None] * 4,
        [None] * 4,
        [None, None, "a", "b"],
        [None, None, 1, Formatted(Decimal(2), "0%")],
    ]
    path = write_xlwt(tmp_path / "t.xls", rows)
    assert read_here(path) == [["", ""], ["", ""], ["a", "b"], ["1", "200%"]]
    assert list(read_rows(path)) == [["1", "200%"]]
    assert list(read_rows(path, table="D3:D4")) == [["200%"]]


def record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def label(row: int, column: int, text: str) -> bytes:
    return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode("latin-1"))


def number(row: int, column: int, value: float, style: int = 0) -> bytes:
    return record(0x0203, struct.pack("<HHHd", row, column, style, value))


BOF_OF_BOOK, BOF_OF_SHEET, BOF_OF_CHART = (
    record(0x0809, struct.pack("<HH", 0x0600, kind) + bytes(12)) for kind in (0x0005, 0x0010, 0x0020)
)
END = record(0x000A)
#: What a chart of another sheet's cells keeps of them.
CHART = BOF_OF_CHART + record(0x1065, b"\1\0") + b"".join(number(row, 0, 1000 + row) for row in range(9)) + END


def book_of(*sheets: bytes, head: bytes = b"") -> bytes:
    """A workbook of sheets A, B … with these records, with a style 1 of whole per cents."""
    head += record(0x041E, struct.pack("<HHB", 164, 2, 0) + b"0%")
    head += b"".join(record(0x00E0, struct.pack("<HH", 0, number) + bytes(16)) for number in (0, 164))
    size = len(BOF_OF_BOOK + head) + 13 * len(sheets) + len(END)
    bounds = b""
    contents = [BOF_OF_SHEET + content + END for content in sheets]
    for index, content in enumerate(contents):
        bounds += record(0x0085, struct.pack("<IBBBB", size, 0, 0, 1, 0) + b"ABC"[index : index + 1])
        size += len(content)
    return BOF_OF_BOOK + head + bounds + END + b"".join(contents)


def written(path: Path, stream: bytes) -> Path:
    path.write_bytes(compound_file({"Workbook": stream.ljust(4096, b"\0")}))
    return path


@pytest.mark.usefixtures("never_cell_by_cell")
def test_what_a_chart_keeps_of_another_sheet_is_no_cell(tmp_path: Path) -> None:
    """Some versions of calamine take it for cells from A1 on. A sheet of charts alone is not the one to be read."""
    cells = label(0, 0, "rate") + label(0, 1, "name") + number(1, 0, 0.5, 1)
    cells += CHART + label(1, 1, "x") + number(2, 0, 1, 1) + CHART
    path = written(tmp_path / "t.xls", book_of(CHART + CHART, cells))
    assert read_here(path) == [["rate", "name"], ["50%", "x"], ["100%", ""]]
    assert list(read_rows(path)) == [["50%", "x"], ["100%", ""]]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(record(0x0203, bytes(13)), id="number"),  # of 14 bytes
        pytest.param(record(0x00BD, bytes(17)), id="row of numbers"),  # of 6 bytes and 6 for each
        pytest.param(record(0x00BD, struct.pack("<HH", 1, 0xFFFF) + bytes(14)), id="row of too many"),
        pytest.param(record(0x0006, bytes(13)), id="formula"),
        pytest.param(record(0x0205, bytes(7)), id="boolean"),
        pytest.param(CHART[: -len(END)], id="chart without end"),
    ],
)
def test_records_that_cannot_be(tmp_path: Path, broken: bytes) -> None:
    path = written(tmp_path / "t.xls", book_of(label(0, 0, "rate") + number(1, 0, 0.5, 1) + broken))
    with pytest.raises(IrregularSheetError):
        XlsBook(str(path)).typed_cells(0)


def test_a_sheet_that_is_left_to_the_library_has_its_values(tmp_path: Path) -> None:
    cells = label(0, 0, "rate") + number(1, 0, 0.5, 1)
    path = written(tmp_path / "t.xls", book_of(cells + CHART[: -len(END)], head=record(0x041E, b"\0")))
    assert next(iter(read_rows(path))) == ["0.5"]


FILES = [FIXTURES / f"{name}.xls" for name in ("formats", "cells", "codes-gnumeric-95")]


@examples(600)
@given(st.data())
def test_damaged_bytes_end_in_cells_or_in_what_is_left_to_the_library(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(FILES)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 4] = data.draw(st.binary(max_size=6))
    end = data.draw(st.none() | st.integers(0, len(content)))
    path = tmp_path / "damaged.xls"
    path.write_bytes(content[:end])
    with contextlib.suppress(IrregularSheetError):
        book = XlsBook(str(path))
        for sheet_ in range(book.sheet_count):
            columns = [pa.nulls(100, pa.string())] * 80
            assert len(book.typed_cells(sheet_).placed(columns, 0)) == 80


def test_a_stream_that_claims_more_bytes_than_the_file_has_is_not_followed(tmp_path: Path) -> None:
    """A circle of sectors would fill the memory."""
    content = bytearray((FIXTURES / "airports.xls").read_bytes())
    entry = content.index("Workbook".encode("utf-16-le"))
    struct.pack_into("<I", content, entry + 120, 0xF0000000)
    (tmp_path / "t.xls").write_bytes(content)
    with pytest.raises(IrregularSheetError, match="larger than the file"):
        XlsBook(str(tmp_path / "t.xls"))


@pytest.mark.parametrize("name", ["formats", "airports"])
def test_other_bytes_in_a_stream_leave_the_file_as_it_is(name: str) -> None:
    """Of LibreOffice: one stream in sectors of its own, one that is too short for these."""
    with open(FIXTURES / f"{name}.xls", "rb") as file:
        compound = CompoundFile(file)
        stream = compound.read("Workbook")
        assert (len(stream) < 4096) == (name == "formats")
        assert compound.with_stream("Workbook", stream) == (FIXTURES / f"{name}.xls").read_bytes()
        changed = compound.with_stream("Workbook", stream[:-3] + b"end")
        others = {other: compound.read(other) for other in compound.streams if other != "Workbook"}
    found = CompoundFile(io.BytesIO(changed))
    assert found.read("Workbook") == stream[:-3] + b"end"
    assert {other: found.read(other) for other in others} == others

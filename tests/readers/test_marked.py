"""What is read by marks is what the exact rule reads, in any dialect and any text, and what Python's `csv` reads."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Chunk, Dialect
from engine.readers.cells import CellSplitter
from engine.readers.marked import marked_rows
from engine.readers.records import RecordSplitter, count_lines
from engine.readers.rows import BrokenRow, Row, read_record, read_rows
from tests.readers.reference import csv_rows
from tests.readers.strategies import WrittenTable, examples, written_tables

LIMIT = 1 << 20
SKIPS: list[Literal["never", "quoted", "always"]] = ["never", "quoted", "always"]

dialects = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t|e n\x01"),
    quote_char=st.sampled_from(['"', "'", None]),
    escape_char=st.sampled_from(["\\", "/", None]),
    skip_initial_space=st.sampled_from(SKIPS),
    encoding=st.sampled_from(["utf-8", "cp1252"]),
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """Anything rich in what matters to the dialect."""
    dialect = draw(dialects)
    specials = [
        dialect.delimiter,
        dialect.quote_char or '"',
        dialect.escape_char or "\\",
        "\n",
        "\r",
        "\r\n",
        " ",
        "  ",
    ]
    others = ["a", "b", "ü", "\x01", "\x02", "edqnr", "\0"]
    pieces = draw(st.lists(st.sampled_from([*specials, *specials, *others]), max_size=40))
    return dialect, "".join(pieces).encode(dialect.encoding)


def by_the_exact_rule(data: bytes, dialect: Dialect) -> list[Row]:
    """One record after the other."""
    found, line, cells = [], 1, CellSplitter(dialect)
    for span in RecordSplitter(dialect, max_record_bytes=LIMIT).split(data, is_last=True):
        found.append(read_record(data, span, line, dialect, max_record_bytes=LIMIT, splitter=cells))
        line += count_lines(data, span.start, span.end)
    return found


def chunk_of(data: bytes, *, irregular: bool) -> Chunk:
    return Chunk(chunk_index=0, byte_start=0, byte_end=len(data), first_row_index=1, row_count=9, irregular=irregular)


@examples(700)
@given(texts())
def test_the_rows_are_those_of_the_exact_rule(made: tuple[Dialect, bytes]) -> None:
    dialect, data = made
    expected = by_the_exact_rule(data, dialect)
    is_irregular = any(isinstance(row, BrokenRow) for row in expected)
    if not is_irregular:
        rows = marked_rows(data, dialect)
        assert rows is None or list(rows) == expected
        assert list(read_rows(data, chunk_of(data, irregular=False), dialect, max_record_bytes=LIMIT)) == expected
    assert list(read_rows(data, chunk_of(data, irregular=True), dialect, max_record_bytes=LIMIT)) == expected


@examples(300)
@given(written_tables())
def test_what_csv_wrote_comes_back(table: WrittenTable) -> None:
    rows = marked_rows(table.text.encode(), Dialect(**table.form))
    assert rows is not None
    assert list(rows) == table.rows


@examples(300)
@given(st.lists(st.lists(st.sampled_from(["a", "", "b c", 'say "hi"', "x,y", "two\nlines", "it's", "\\"]), min_size=2)))
def test_escaped_rows_are_those_that_python_reads(table: list[list[str]]) -> None:
    form: dict[str, Any] = {"delimiter": ",", "doublequote": False, "escapechar": "\\", "lineterminator": "\n"}
    text = io.StringIO()
    csv.writer(text, **form).writerows(table)
    rows = marked_rows(text.getvalue().encode(), Dialect(escape_char="\\"))
    assert rows is not None
    assert list(rows) == csv_rows(text.getvalue(), escape_char="\\") == table


def test_every_row_keeps_its_line_and_its_text_around_broken_ones() -> None:
    good = 'a,"say \\"hi\\"\nthere",C:\\new\n'
    data = (good * 3 + 'b,"open\n' + good * 2).encode() + b"\xff,x\n" + good.encode()
    found = list(read_rows(data, chunk_of(data, irregular=True), Dialect(escape_char="\\"), max_record_bytes=LIMIT))
    row = ["a", 'say "hi"\nthere', "C:\\new"]
    assert [found[index] for index in (0, 1, 2, 4, 5, 7)] == [row] * 6
    first, second = found[3], found[6]
    assert isinstance(first, BrokenRow)
    assert isinstance(second, BrokenRow)
    assert (first.cells, first.error[:8]) == (["b", '"open'], "Line 7: ")
    assert (second.cells, second.error[:9]) == (["\\xff", "x"], "Line 12: ")


def test_a_text_that_leaves_no_mark_is_read_by_the_exact_rule() -> None:
    data = "".join(map(chr, range(32))).replace("\n", "").replace("\r", "").encode() + b',\\"x\n'
    assert marked_rows(data, Dialect(escape_char="\\")) is None
    (row,) = read_rows(data, chunk_of(data, irregular=False), Dialect(escape_char="\\"), max_record_bytes=LIMIT)
    assert isinstance(row, list)
    assert row[1] == '"x'


@pytest.mark.parametrize("skip", SKIPS)
def test_blanks_stay_or_go_in_every_place(skip: Literal["never", "quoted", "always"]) -> None:
    data = b'  a,  b,"x,  ""y"", z"\n  "c, d",  "e" ,   \n , "x, "\r "y",z\n   '
    dialect = Dialect(skip_initial_space=skip)
    rows = marked_rows(data, dialect)
    assert rows is not None
    assert list(rows) == by_the_exact_rule(data, dialect)

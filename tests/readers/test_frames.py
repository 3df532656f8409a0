"""A chunk as a frame has the cells of its rows, and records as `csv.writer` writes them; or there is no frame."""

from __future__ import annotations

import struct
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import engine.readers.frames
from engine.model import Dialect
from engine.native import RowTexts, loops
from engine.readers import TextFrame, read_rows
from engine.readers.frames import read_frame
from tests.readers.strategies import TableText, delimiters, examples, soups, tables
from tests.readers.test_slices import LIMIT, chunk_of, minimal


def frame_of(data: bytes, dialect: Dialect, width: int) -> TextFrame | None:
    return read_frame(data, chunk_of(data, dialect), dialect, [f"c{number}" for number in range(width)])


def known_texts(frame: TextFrame) -> list[str] | None:
    if isinstance(frame.records, RowTexts):
        ends = [0, *(end for (end,) in struct.iter_unpack("n", frame.records.ends))]
        return [frame.records.joined[start:end].decode() for start, end in pairwise(ends)]
    return None if frame.records is None else frame.records.to_list()


def check(data: bytes, dialect: Dialect, width: int) -> TextFrame | None:
    """By the compiled loop, and by arrays; both give a frame, or none does."""
    rows = list(read_rows(data, chunk_of(data, dialect), dialect, max_record_bytes=LIMIT))
    frames = []
    for implementation in (loops, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.readers.frames, "loops", implementation)
            found = frame_of(data, dialect, width)
        frames.append(found)
        if found is not None:
            assert found.frame.schema == {f"c{number}": pl.String for number in range(width)}
            assert list(map(list, found.frame.rows())) == rows
            assert known_texts(found) in (None, list(map(minimal, rows)))
    compiled, by_arrays = frames
    assert (compiled is None) == (by_arrays is None)
    assert compiled is None or isinstance(compiled.records, RowTexts)
    return by_arrays


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[bytes, Dialect, int]:
    """Tables of one width in any dialect, the quoting of each cell by chance."""
    width = draw(st.integers(1, 4))
    dialect = Dialect(delimiter=draw(delimiters), quote_char=draw(st.sampled_from("\"'")))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    quote = dialect.quote_char or ""
    cell = st.text(st.sampled_from("a1 é漢,;|\t\"'\0\n"), max_size=5).map(lambda text: text.replace("\n", end))
    lines = []
    for row in draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=12)):
        cells = []
        for text in row:
            needs = any(character in text for character in (dialect.delimiter, quote, "\n")) or (
                width == 1 and not text
            )
            is_quoted = needs or draw(st.integers(0, 9)) == 0
            cells.append(quote + text.replace(quote, 2 * quote) + quote if is_quoted else text)
        lines.append(dialect.delimiter.join(cells))
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return text.encode(), dialect, width


@examples(400)
@given(rectangles())
def test_regular_tables_are_always_frames(table: tuple[bytes, Dialect, int]) -> None:
    data, dialect, width = table
    assert check(data, dialect, width) is not None


@st.composite
def long_tables(draw: st.DrawFn) -> tuple[bytes, Dialect, int, bool]:
    """Lines that end anywhere in and behind stretches of 64 bytes, odd ones among them; and whether one is ragged."""
    data, dialect, width = draw(rectangles())
    end = b"\r\n" if b"\r\n" in data else b"\n"
    random = draw(st.randoms(use_true_random=False))
    plain = [
        dialect.delimiter.join("a1 é漢x"[random.randrange(6)] * random.randrange(1, 70) for _ in range(width)).encode()
        for _ in range(random.randrange(1, 30))
    ]
    is_ragged = draw(st.booleans())
    if is_ragged:
        plain[random.randrange(len(plain))] += dialect.delimiter.encode() * draw(st.integers(1, 3))
    cut = random.randrange(len(plain) + 1)
    head = b"".join(line + end for line in plain[:cut])
    tail = b"".join(line + end for line in plain[cut:])
    return head + data + (b"" if data.endswith(end) else end) + tail, dialect, width, is_ragged


@examples(400)
@given(long_tables())
def test_long_tables_are_frames_unless_a_row_is_ragged(table: tuple[bytes, Dialect, int, bool]) -> None:
    data, dialect, width, is_ragged = table
    assert (check(data, dialect, width) is None) == is_ragged


@examples(200)
@given(tables(max_rows=6), st.integers(1, 4))
def test_other_tables_are_right_or_no_frames(table: TableText, width: int) -> None:
    check(table.text.encode(), Dialect(delimiter=table.delimiter, quote_char=table.quote_char), width)


@examples(400)
@given(soups(), delimiters, st.sampled_from(['"', "'", None]), st.integers(1, 3))
@example(b'"a",x"y,x"y,"b"\n', ",", '"', 4)
@example(b'"a"b,c\n', ",", '"', 2)
@example(b'a\r"b"\r\n', ",", '"', 1)
def test_soups_are_right_or_no_frames(data: bytes, delimiter: str, quote_char: str | None, width: int) -> None:
    if data:
        check(data, Dialect(delimiter=delimiter, quote_char=quote_char), width)


@pytest.mark.parametrize("data", [b"a,b\nc\n", b"a,b\nc,d,e\n", b"a,b\n\nc,d\n", b'a,b\nc",d\n', b"a,b\n\xe9,d\n"])
def test_a_ragged_blank_or_broken_row_leaves_no_frame(data: bytes) -> None:
    assert frame_of(data, Dialect(), 2) is None


def test_records_are_known_only_where_all_are_minimal() -> None:
    good = check(b'1,"a,b"\r\n2,"c\r\nd"\r\n3,"""e"""\r\n4,', Dialect(), 2)
    assert good is not None
    assert good.records is not None
    for data in (b'1,"a"\n', b'1,"a,b"\n2,""\n'):
        needless = check(data, Dialect(), 2)
        assert needless is not None
        assert needless.records is None


def test_code_pages_are_read_and_given_as_utf8() -> None:
    found = frame_of("ä,€\n".encode("cp1252"), Dialect(encoding="cp1252"), 2)
    assert found is not None
    assert (found.frame.rows(), known_texts(found)) == ([("ä", "€")], ["ä,€"])

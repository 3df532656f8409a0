"""A chunk's bytes give the rows of `csv.reader`, and what is broken in them as itself, with its line and reason."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Chunk, Dialect
from engine.readers import BrokenRow, Row, bytes_to_read, read_rows
from engine.readers.rows import MAX_BROKEN_BYTES
from tests.readers.growth import assert_linear
from tests.readers.reference import csv_rows, without_trailing_blank_lines
from tests.readers.strategies import TableText, WrittenTable, examples, tables, written_tables

LIMIT = 1 << 24


def chunk_of(data: bytes, *, row_count: int = 99, **facts: Any) -> Chunk:
    return Chunk(
        chunk_index=0, byte_start=500, byte_end=500 + len(data), first_row_index=1, row_count=row_count, **facts
    )


def rows(data: bytes, *, dialect: Dialect | None = None, limit: int = LIMIT, **facts: Any) -> list[Row]:
    chunk = chunk_of(data, **facts)
    data = data[: bytes_to_read(chunk, max_record_bytes=limit)]
    return list(read_rows(data, chunk, dialect or Dialect(), max_record_bytes=limit))


@examples(150)
@given(tables())
def test_both_ways_of_reading_give_the_rows_of_csv(table: TableText) -> None:
    data = without_trailing_blank_lines(table.text.encode())
    dialect = Dialect(delimiter=table.delimiter, quote_char=table.quote_char)
    expected = csv_rows(table.text, delimiter=table.delimiter, quote_char=table.quote_char)
    assert rows(data, dialect=dialect) == rows(data, dialect=dialect, irregular=True) == expected


@examples(300)
@given(written_tables(), st.booleans())
def test_rows_of_any_dialect_come_back_as_they_were_written(table: WrittenTable, irregular: bool) -> None:
    assert rows(table.text.encode(), dialect=Dialect(**table.form), irregular=irregular) == table.rows


@examples(150)
@given(written_tables())
def test_blanks_at_the_start_of_cells_are_left_out_as_csv_does(table: WrittenTable) -> None:
    form = table.form
    if form["delimiter"] == " " or form["escape_char"]:
        return  # Python 3.13 refuses the one, and what an escape before a blank means is our own
    expected = csv_rows(table.text + "x", skip=True, delimiter=form["delimiter"], quote_char=form["quote_char"])[:-1]
    assert rows(table.text.encode(), dialect=Dialect(**form, skip_initial_space="always")) == expected


def test_a_blank_is_left_out_before_quotes_only_or_everywhere_or_nowhere() -> None:
    data = b' a, b, "c, d"\n"e",f,  "g"\n'
    always, quoted, never = (
        rows(data, dialect=Dialect(skip_initial_space=skip)) for skip in ("always", "quoted", "never")
    )  # type: ignore[arg-type]
    assert always == [["a", "b", "c, d"], ["e", "f", "g"]]
    assert quoted == [[" a", " b", "c, d"], ["e", "f", "g"]]
    assert never == [[" a", " b", ' "c', ' d"'], ["e", "f", '  "g"']]
    assert rows(b"1   a  b\n", dialect=Dialect(delimiter=" ", skip_initial_space="always")) == [["1", "a", "b"]]


def test_an_escape_has_power_over_structure_only() -> None:
    data = rb'"C:\temp\new","say \"hi\"",a\,b,\N,c\\d'
    expected = [["C:\\temp\\new", 'say "hi"', "a,b", "\\N", "c\\d"]]
    assert rows(data, dialect=Dialect(escape_char="\\")) == expected
    assert rows(b"C:\\dir\\\n1\n", dialect=Dialect(escape_char="\\")) == [["C:\\dir\\"], ["1"]]
    assert rows(b"a\\\nb,c\\\n", dialect=Dialect(escape_char="\\", quote_char=None)) == [["a\nb", "c\n"]]


def test_text_behind_a_closing_quote_fails_its_row_and_names_its_line() -> None:
    found = rows(b'a,"b\nc"\n1,"5" pipe"\n2,"x" \n', irregular=True)
    assert found == [
        ["a", "b\nc"],
        BrokenRow(
            ["1", '"5" pipe"'],
            'Line 3: text follows the closing " of a cell. Double each " if it belongs to the text.',
        ),
        ["2", "x "],
    ]


def test_cells_are_text_and_ragged_rows_stay_ragged() -> None:
    assert rows(b"1,2.0\n\n01\n,,\n") == [["1", "2.0"], [], ["01"], ["", "", ""]]


def test_a_stray_quote_fails_its_row_and_names_its_line() -> None:
    found = rows(b'a,"b\r\nc",d\r\n"e\rf","g\nh,i\r\nj,k', irregular=True, first_line_number=10)
    assert [row for row in found if not isinstance(row, BrokenRow)] == [["a", "b\r\nc", "d"], ["h", "i"], ["j", "k"]]
    (broken,) = (row for row in found if isinstance(row, BrokenRow))
    assert broken.cells == ['"e\rf"', '"g']
    assert broken.error == (
        'Line 13: the cell that begins with " has no closing ". '
        "Close the quote, or double it if it belongs to the text."
    )


def test_bytes_that_do_not_decode_fail_their_row_and_name_its_line_and_the_bytes() -> None:
    found = rows("é,1\n".encode() + b'"x\ny",\xe9\xa0z\n' + "ü,2\n".encode(), first_line_number=7)
    assert found[0] == ["é", "1"]
    assert found[2] == ["ü", "2"]
    assert found[1] == BrokenRow(
        ["x\ny", r"\xe9\xa0z"],
        "Line 9: the bytes E9 A0 are not utf-8 text. "
        "Save the file as UTF-8, or name the encoding it has with the option encoding.",
    )


@pytest.mark.parametrize(
    ("encoding", "byte"), [("cp1252", 0x81), ("ascii", 0x80), ("utf-8", 0xC0), ("iso8859-7", 0xFF), ("utf-8", 0xFF)]
)
def test_an_undecodable_byte_anywhere_costs_only_its_row(encoding: str, byte: int) -> None:
    lines = [b"a,b\n", b"c,d\n", b"e,f"]
    for number, line in enumerate(lines):
        for position in range(len(line.rstrip(b"\n")) + 1):
            damaged = list(lines)
            damaged[number] = line[:position] + bytes([byte]) + line[position:]
            found = rows(b"".join(damaged), dialect=Dialect(encoding=encoding))
            expected: list[Row] = [["a", "b"], ["c", "d"], ["e", "f"]]
            assert isinstance(found[number], BrokenRow)
            assert found[number].error.startswith(f"Line {number + 1}: ")
            assert f"\\x{byte:02x}" in "".join(found[number].cells)
            expected[number] = found[number]
            assert found == expected


def test_an_overlong_record_is_the_same_row_alone_in_its_chunk_and_among_others() -> None:
    long = b"1," + "é".encode() * 50_000 + b"\n"
    alone = rows(long, limit=1000, row_count=1, irregular=True, first_line_number=2)
    among = rows(b"0,x\n" + long + b"2,y\n", limit=1000, row_count=3, irregular=True)
    assert among == [["0", "x"], alone[0], ["2", "y"]]
    (broken,) = alone
    assert isinstance(broken, BrokenRow)
    assert broken.cells == ["1", "é" * ((MAX_BROKEN_BYTES - 2) // 2)]
    assert broken.error == (
        "Line 2: the record is 100,003 bytes long, which is too long for a row; its first 65,536 bytes are kept here."
    )


def test_a_short_overlong_record_is_kept_whole() -> None:
    (broken,) = rows(b"1,abcdefgh\n", limit=5, row_count=1, irregular=True)
    assert broken == BrokenRow(["1", "abcdefgh"], "Line 1: the record is 11 bytes long, which is too long for a row.")


def test_only_the_start_of_a_single_overlong_record_is_read() -> None:
    long = chunk_of(b"x" * 200_000, row_count=1, irregular=True)
    assert bytes_to_read(long, max_record_bytes=1000) == MAX_BROKEN_BYTES
    assert bytes_to_read(long, max_record_bytes=200_000) == 200_000
    assert bytes_to_read(chunk_of(b"x" * 2000, row_count=1, irregular=True), max_record_bytes=1000) == 2000
    assert bytes_to_read(chunk_of(b"x" * 200_000, row_count=2, irregular=True), max_record_bytes=1000) == 200_000
    assert bytes_to_read(chunk_of(b"x" * 200_000, row_count=1), max_record_bytes=1000) == 200_000


def test_cells_may_be_longer_than_the_csv_module_allows_by_itself() -> None:
    before = csv.field_size_limit(1000)
    try:
        assert rows(b"a," + b"x" * 500_000 + b"\n") == [["a", "x" * 500_000]]
    finally:
        csv.field_size_limit(before)


def test_text_is_the_same_wherever_the_decoder_cuts_it() -> None:
    line = '1,"é漢\U0001f600\r\nx"\r\n'
    expected = csv_rows(line * 5000)
    assert rows((line * 5000).encode()) == expected
    assert rows(b"a" + (line * 5000).encode())[1:] == expected[1:]


@pytest.mark.parametrize(
    "soup", [b'"\n', b'1,"abc\n2,abc\n', b'x","\n', b'""""\n', b",,", b"\n\n", b"\xff\n", b"a,\xff"]
)
def test_reading_takes_time_in_proportion_to_the_chunk(soup: bytes) -> None:
    assert_linear(lambda data: rows(data, irregular=True), soup * (20_000 // len(soup)))

"""The first look: what is no table is told as what it is, and the header ends where its records do."""

from __future__ import annotations

import struct
from hashlib import shake_256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OptionError, SourceBinaryError, SourceEmptyError, SourceError, SourceFormatError
from engine.model import Dialect
from engine.options import ImportOptions
from engine.readers import HEAD_BYTES, DataStart, Head, find_data_start, look
from tests.readers.reference import reference_records
from tests.readers.strategies import examples, record_limits, soups

CYRILLIC = "имя;город\nИван;Москва\n"


def looked(head: bytes, *, is_whole: bool = True, **options: Any) -> Head:
    return look(head, ImportOptions.from_mapping(options), source="s", is_whole=is_whole)


def started(data: bytes, header_rows: int = 1, *, mark_bytes: int = 0, limit: int = 1 << 24, **facts: Any) -> DataStart:
    return find_data_start(
        lambda start, end: data[start:end],
        len(data),
        Dialect(**facts),
        header_rows,
        mark_bytes=mark_bytes,
        max_record_bytes=limit,
    )


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\r\n", b"\xff\xfe\n\0"]
)
def test_nothing_but_a_mark_and_line_ends_is_empty(data: bytes) -> None:
    with pytest.raises(SourceEmptyError, match="is empty"):
        looked(data)


@pytest.mark.parametrize(
    "data",
    [
        bytes(1000),
        shake_256(b"1").digest(5000),
        shake_256(b"2").digest(300),
        b"MZ" + struct.pack("<64I", *range(64)),
        b"a,b\n" + bytes(range(32)) * 10,
    ],
    ids=["zeros", "random", "few random", "exe", "controls"],
)
def test_what_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(SourceBinaryError):
        looked(data)
    with pytest.raises(SourceError):
        looked(data, encoding="utf-8")


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n\0,1\n",
        b"a,b\n1,\0\0\0\n",
        b"name,city\nAnna\0\0\0\0,Ulm\0\0\0\0\n" * 50,
        b"a,b\x1a",
        b"a\x0bb,\x1c\n",
        b"a,b\n\x07,1\n",
        b"a\x01b\n1\x012\n",
    ],
)
def test_some_zero_and_control_characters_are_text(data: bytes) -> None:
    assert looked(data, encoding="utf-8").dialect.encoding == "utf-8"
    assert looked(data).dialect.encoding == "utf-8"


@pytest.mark.parametrize("header", ["PAR1,PAR2", "GIF8;x", "PK,ID", "%PDF;y"])
def test_a_header_that_begins_as_a_binary_file_does_is_a_header(header: str) -> None:
    assert looked(f"{header}\n1,2\n".encode()).dialect.encoding == "utf-8"


def test_a_control_character_can_be_the_delimiter() -> None:
    assert looked(b"a\x01b\x01c\n" * 50, delimiter="\x01").dialect.delimiter == "\x01"


@pytest.mark.parametrize(
    ("given", "text_encoding", "found"),
    [
        ("utf-16", "utf-16-le", "utf-16-le"),
        ("utf-16", "utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32-be", "utf-32-be"),
        ("UTF16", "utf-16-be", "utf-16-be"),
        ("utf-8-sig", "utf-8", "utf-8"),
        ("latin-1", "utf-8", "iso8859-1"),
        ("cp1251", "cp1251", "cp1251"),
    ],
)
def test_a_given_encoding_is_used_and_its_byte_order_found(given: str, text_encoding: str, found: str) -> None:
    for mark in ("", "\ufeff"):
        if mark and not found.startswith("utf"):
            continue
        head = looked((mark + CYRILLIC).encode(text_encoding), encoding=given)
        assert head.dialect == Dialect(delimiter=";", encoding=found)
        assert head.mark_bytes == len(mark.encode(text_encoding))


@pytest.mark.parametrize(
    ("given", "actual"),
    [("utf-8", "utf-16"), ("utf-8", "utf-16-le"), ("cp1252", "utf-32"), ("utf-16", "utf-8"), ("utf-32", "utf-8"),
     ("ascii", "utf-8"), ("utf-8", "cp1251"), ("utf-16-le", "cp1252")],
)  # fmt: skip
def test_an_encoding_that_cannot_be_right_is_told(given: str, actual: str) -> None:
    with pytest.raises(SourceFormatError, match="Leave the option encoding out"):
        looked((CYRILLIC * 20).encode(actual, "ignore"), encoding=given)


@pytest.mark.parametrize("given", ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"])
def test_codecs_that_are_not_for_files_are_refused(given: str) -> None:
    with pytest.raises(OptionError) as caught:
        looked(b"a,b\n", encoding=given)
    assert caught.value.option == "encoding"


def test_given_delimiter_and_quote_are_used_and_differ() -> None:
    assert looked(b"a,b\n", delimiter=";").dialect == Dialect(delimiter=";")
    assert looked(b"a,b\n", delimiter=";").confidence == 1.0
    assert looked(b"'a','b'\n", quote_char="").dialect.quote_char is None
    assert looked(b"'a','b'\n'c','d'\n", quote_char='"').dialect.quote_char == '"'
    for delimiter in "'\"":
        dialect = looked(f"a{delimiter}b\n".encode() * 3, delimiter=delimiter).dialect
        assert dialect.quote_char != dialect.delimiter == delimiter
    dialect = looked(b"a,b\n1,2\n", quote_char=",").dialect
    assert dialect.quote_char == "," != dialect.delimiter


def test_the_header_ends_where_its_records_end() -> None:
    data = b'a,"b\nc"\r\nd,e\r\n\r\nf\r\n'
    assert started(data, 0) == DataStart(header_records=(), data_start=0, column_count=2)
    assert started(data, 1) == DataStart(header_records=(("a", "b\nc"),), data_start=9, column_count=2)
    assert started(data, 3).header_records == (("a", "b\nc"), ("d", "e"), ())
    assert started(data, 4).data_start == len(data)


def test_blank_lines_above_the_header_are_skipped() -> None:
    assert started(b"\n\r\n\ra,b\n1,2\n").header_records == (("a", "b"),)
    assert started(b"\n\r\n\ra,b\n1,2\n").data_start == 8


def test_without_a_header_blank_lines_are_data_and_the_first_other_row_tells_the_columns() -> None:
    assert started(b"\n\na,b\n", 0) == DataStart(header_records=(), data_start=0, column_count=2)


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    found = started(b'\xef\xbb\xbf"a",b\n1,2\n', mark_bytes=3)
    assert found == DataStart(header_records=(("a", "b"),), data_start=9, column_count=2)
    assert started(b"\xef\xbb\xbfa,b\n", 0, mark_bytes=3).data_start == 3


@pytest.mark.parametrize("header_rows", [1, 2, 1000])
def test_a_source_with_fewer_records_than_header_rows_has_no_data(header_rows: int) -> None:
    found = started(b"a,b", header_rows)
    assert found == DataStart(header_records=(("a", "b"),), data_start=3, column_count=2)


def test_an_unterminated_quote_in_the_header_costs_no_data() -> None:
    found = started(b'a,"b,c\n1,2,3\n4,5,6\n')
    assert found == DataStart(header_records=(("a", '"b', "c"),), data_start=7, column_count=3)


def test_undecodable_bytes_in_the_header_are_shown() -> None:
    assert started(b"a,\xe9\n1,2\n").header_records == (("a", r"\xe9"),)


def test_a_long_header_is_read_further() -> None:
    names = ",".join(f"column_{number}" for number in range(40_000))
    found = started(f"{names}\n1\n".encode())
    assert HEAD_BYTES < found.data_start == len(names) + 1
    assert found.column_count == 40_000


def test_a_quote_that_is_open_past_the_limit_is_a_stray_one_in_the_header_too() -> None:
    reads: list[int] = []
    data = b'a,"b\n' + b"1,2\n" * 500_000

    def read(start: int, end: int) -> bytes:
        reads.append(end - start)
        return data[start:end]

    found = find_data_start(read, len(data), Dialect(), 1, mark_bytes=0, max_record_bytes=300_000)
    assert found == DataStart(header_records=(("a", '"b'),), data_start=5, column_count=2)
    assert max(reads) <= 600_000


def test_a_header_without_an_end_is_told() -> None:
    with pytest.raises(SourceFormatError, match="say delimiter or quote_char"):
        started(b"x" * 2_000_000 + b"\na\n", limit=300_000)


def test_without_a_header_a_first_line_without_an_end_is_a_row_as_any_other() -> None:
    data = b"x" * 2_000_000 + b"\na,b\n"
    assert started(data, 0, limit=300_000) == DataStart(header_records=(), data_start=0, column_count=0)


@examples(300)
@given(soups(), st.integers(1, 4), record_limits.map(lambda limit: max(limit, len(b"\r\n"))))
def test_the_data_begins_at_the_record_after_the_header(data: bytes, header_rows: int, limit: int) -> None:
    records = reference_records(data, max_record_bytes=limit)
    while records and data[records[0].start : records[0].end].strip(b"\r\n") == b"":
        records.pop(0)
    found = started(data, header_rows, limit=limit)
    assert len(found.header_records) == min(header_rows, len(records))
    assert found.data_start == (records[header_rows - 1].end if len(records) >= header_rows else len(data))

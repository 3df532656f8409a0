"""The exact rule: what a record is depends on its own bytes only, and a broken one costs no other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Dialect
from engine.readers.records import RecordSplitter, count_lines
from tests.readers.growth import assert_linear
from tests.readers.reference import count_lines as reference_count
from tests.readers.reference import csv_rows, reference_records, without_trailing_blank_lines
from tests.readers.strategies import TableText, examples, record_limits, soups, tables

#: Dialects with more than delimiter and quote.
FORMS: list[dict[str, Any]] = [
    {"escape_char": "\\"},
    {"escape_char": "\\", "quote_char": None},
    {"skips_blanks": True},
    {"skips_blanks": True, "escape_char": "\\"},
    {"delimiter": " ", "escape_char": "\\"},
]

Triple = tuple[int, int, bool]


def split(
    data: bytes, *, max_record_bytes: int = 1 << 20, is_last: bool = True, dialect: Dialect | None = None
) -> list[Triple]:
    splitter = RecordSplitter(dialect or Dialect(), max_record_bytes=max_record_bytes)
    return [(s.start, s.end, s.broken_cell is not None) for s in splitter.split(data, is_last=is_last)]


def texts(data: str, *, max_record_bytes: int = 1 << 20) -> list[tuple[str, bool]]:
    """The records as text, each with whether it is broken."""
    whole = data.encode()
    return [(whole[s:e].decode(), broken) for s, e, broken in split(whole, max_record_bytes=max_record_bytes)]


@examples(500)
@given(soups(), record_limits)
def test_records_are_those_of_the_rule_written_out(data: bytes, max_record_bytes: int) -> None:
    expected = reference_records(data, max_record_bytes=max_record_bytes)
    assert split(data, max_record_bytes=max_record_bytes) == [(r.start, r.end, r.is_broken) for r in expected]


@examples(500)
@given(soups(), record_limits, st.sampled_from(FORMS))
def test_records_with_escapes_and_blanks_are_those_of_the_rule_too(
    data: bytes, max_record_bytes: int, form: dict[str, Any]
) -> None:
    skip = "quoted" if form.get("skips_blanks") else "never"
    given = {name: value for name, value in form.items() if name != "skips_blanks"}
    expected = reference_records(data, max_record_bytes=max_record_bytes, **form)
    found = split(data, max_record_bytes=max_record_bytes, dialect=Dialect(**given, skip_initial_space=skip))
    assert found == [(r.start, r.end, r.is_broken) for r in expected]


@examples(300)
@given(soups(), record_limits, st.data())
def test_a_run_of_records_by_itself_has_the_same_records(data: bytes, limit: int, draw: st.DataObject) -> None:
    """As a chunk is read, by bytes cut out of the source."""
    records = split(data, max_record_bytes=limit)
    first = draw.draw(st.integers(0, len(records)))
    last = draw.draw(st.integers(first, len(records)))
    start = records[first][0] if first < len(records) else len(data)
    end = records[last - 1][1] if last > first else start
    alone = split(data[start:end], max_record_bytes=limit)
    assert [(start + s, start + e, broken) for s, e, broken in alone] == records[first:last]


@examples(300)
@given(soups(), record_limits, st.data())
def test_what_is_found_before_the_end_stays_true_whatever_follows(
    data: bytes, max_record_bytes: int, draw: st.DataObject
) -> None:
    seen = draw.draw(st.integers(0, len(data)))
    form = draw.draw(st.sampled_from([{}, {"escape_char": "\\"}, {"escape_char": "\\", "quote_char": None}]))
    dialect = Dialect(**form)
    early = split(data[:seen], max_record_bytes=max_record_bytes, is_last=False, dialect=dialect)
    assert early == split(data, max_record_bytes=max_record_bytes, dialect=dialect)[: len(early)]


@examples(200)
@given(tables())
def test_every_record_of_a_written_table_is_a_row_of_csv(table: TableText) -> None:
    form = {"delimiter": table.delimiter, "quote_char": table.quote_char}
    data = without_trailing_blank_lines(table.text.encode())
    records = split(data, dialect=Dialect(**form))
    each = [(csv_rows(data[start:end].decode(), **form) or [[]])[0] for start, end, _ in records]
    assert each == csv_rows(table.text, **form)
    assert not any(broken for _, _, broken in records)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\nc,d\n", [("a,b\n", False), ("c,d\n", False)]),
        ("a\r\nb\rc\n\rd", [("a\r\n", False), ("b\r", False), ("c\n", False), ("\r", False), ("d", False)]),
        ('"a\nb",c\nd\n', [('"a\nb",c\n', False), ("d\n", False)]),
        ('5" pipe\n6" pipe\n', [('5" pipe\n', False), ('6" pipe\n', False)]),
        ('"a"b,c\nd\n', [('"a"b,c\n', True), ("d\n", False)]),
        ('"a"b,"c\nd"\n', [('"a"b,"c\nd"\n', True)]),
        ('"a"  ,c\nd\n', [('"a"  ,c\n', False), ("d\n", False)]),
        ('a,"b\nc\nd\n', [('a,"b\n', True), ("c\n", False), ("d\n", False)]),
        ('a,"b\nc,"d"\ne\n', [('a,"b\n', True), ('c,"d"\n', False), ("e\n", False)]),
        ('"x\ny","b\nc\n', [('"x\ny","b\n', True), ("c\n", False)]),
        ('a,"b\nc",d\n', [('a,"b\nc",d\n', False)]),
        ('"""\n"""\n', [('"""\n"""\n', False)]),
        ('"', [('"', True)]),
    ],
)
def test_a_stray_quote_costs_the_record_up_to_the_end_of_its_line(text: str, expected: list[tuple[str, bool]]) -> None:
    assert texts(text) == expected


def test_a_record_over_the_limit_ends_with_the_line_of_its_last_cell_within_it() -> None:
    assert texts("aaaa,bbbb,cccc\nd\n", max_record_bytes=10) == [("aaaa,bbbb,cccc\n", True), ("d\n", False)]
    assert texts('"a\na\na","b\nb"\nd\n', max_record_bytes=10) == [
        ('"a\na\na","b\n', True),
        ('b"\n', False),
        ("d\n", False),
    ]
    # The first cell and its comma take 11 bytes, and then 10.
    assert texts('"aaaa\nbbb",c\n', max_record_bytes=10) == [('"aaaa\n', True), ('bbb",c\n', False)]
    assert texts('"aaa\nbbb",c\n', max_record_bytes=10) == [('"aaa\nbbb",c\n', True)]
    assert texts("aaaa,bbbb\nd\n", max_record_bytes=10) == [("aaaa,bbbb\n", False), ("d\n", False)]


def test_a_quoted_cell_over_the_limit_costs_one_record_where_it_holds_no_line_end() -> None:
    assert texts('1,"' + "x" * 100 + '"\n2,y\n', max_record_bytes=50) == [
        ('1,"' + "x" * 100 + '"\n', True),
        ("2,y\n", False),
    ]


@pytest.mark.parametrize("special", ["|", "^", ".", "*", "$", "\\", "]", "-", " ", "x", "\t"])
def test_any_ascii_character_can_be_delimiter_or_quote(special: str) -> None:
    data = f"a{special}'b{special}\nc'{special}d\ne\n".encode()
    assert len(split(data, dialect=Dialect(delimiter=special, quote_char="'"))) == 2
    data = f"a,{special}b,\nc{special},d\ne\n".encode()
    assert len(split(data, dialect=Dialect(quote_char=special))) == 2


@pytest.mark.parametrize("soup", [b'x","\n', b'"\n",', b'"a""\n""b""\n', b'"",', b'""\n'])
def test_records_cut_by_the_limit_do_not_cost_more_than_their_length(soup: bytes) -> None:
    assert_linear(lambda data: split(data, max_record_bytes=50_000), soup * (100_000 // len(soup)))


@examples(100)
@given(st.text(st.sampled_from("\r\na"), max_size=20).map(str.encode))
def test_lines_are_counted_by_their_ends(data: bytes) -> None:
    assert count_lines(data) == reference_count(data)

"""Lines of JSON objects become rows in which every value is as it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SourceFormatError
from engine.readers import BrokenRow, Row
from engine.readers.ndjson import MAX_COLUMNS, UnknownKeyError, find_columns, read_lines, read_objects
from tests.readers.strategies import block_sizes, examples


def rows_of(data: bytes, block_bytes: int = 100, *, limit: int = 10_000, max_bytes: int = 10**9) -> list[Row]:
    def lines() -> Any:
        blocks = [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]
        return read_lines(blocks, max_line_bytes=limit)

    return list(read_objects(lines(), find_columns(lines(), max_bytes=max_bytes, source="s")))


def row_of(text: str) -> Row:
    (row,) = rows_of(text.encode())
    return row


def error_of(row: Row) -> str:
    assert isinstance(row, BrokenRow)
    return row.error


numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?\Z")
texts = st.text(st.characters(exclude_categories=["Cs"]))


@examples(300)
@given(numbers)
def test_a_number_keeps_its_digits(text: str) -> None:
    assert row_of(f'{{"a": {text}}}') == [text]
    assert row_of(f'{{"a": [{text}, {{"b": {text}}}]}}') == [f'[{text},{{"b":{text}}}]']


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("true", "TRUE"),
        ("false", "FALSE"),
        ("null", ""),
        ('""', ""),
        ('"1.0"', "1.0"),
        ('"00012"', "00012"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1E400", "1E400"),
        ("9" * 5000, "9" * 5000),
        ("NaN", "NaN"),
        (r'"a\nb\u0000\u00e9"', "a\nb\0é"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('{"b": 1.50, "c": [true, false, null]}', '{"b":1.50,"c":[true,false,null]}'),
        ('[ "ü", "\\"" ]', '["ü","\\""]'),
        ("[]", "[]"),
        ("{}", "{}"),
    ],
)
def test_a_value_is_as_it_was_written(value: str, cell: str) -> None:
    assert row_of(f'{{"a": {value}}}') == [cell]


@examples(200)
@given(
    st.lists(st.dictionaries(texts, st.none() | st.booleans() | texts | st.integers()), min_size=1),
    st.sampled_from(["\n", "\r\n", "\n\n", " \n"]),
    st.booleans(),
    block_sizes,
)
def test_objects_give_the_union_of_their_keys_and_every_value(
    objects: list[dict[str, Any]], line_end: str, has_mark: bool, block_bytes: int
) -> None:
    columns = list(dict.fromkeys(key for each in objects for key in each))
    text = line_end.join(json.dumps(each, ensure_ascii=False) for each in objects)
    data = ("\ufeff" * has_mark + text).encode()
    if not columns:
        with pytest.raises(SourceFormatError, match="no columns"):
            rows_of(data, block_bytes, limit=10**6)
        return

    def cell(value: Any) -> str:
        return "" if value is None else str(value).upper() if isinstance(value, bool) else str(value)

    assert rows_of(data, block_bytes, limit=10**6) == [[cell(each.get(key)) for key in columns] for each in objects]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b'{"a": 1}{"a": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": "\0"}', "not JSON"),
        (b"a,b", "not JSON"),
        (b"[1, 2]", "no object"),
        (b"5", "no object"),
        (b'"a"', "no object"),
        (b"null", "no object"),
        (b'{"a": "\xe9"}', "E9 is not UTF-8"),
        (rb'{"a": "\ud83d"}', "half a character"),
        (rb'{"a": [{"\udc00": 1}]}', "half a character"),
        (b'{"a": 1, "a": 2}', '"a" is there twice'),
        (b'{"a": {"b": 1, "b": 2}}', '"b" is there twice'),
        (b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}", "nested too deeply"),
        (b'{"a": ' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"}", "nested too deeply"),
        (b'{"a": "' + b"x" * 10_000 + b'"}', "10,009 bytes long"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "300,009 bytes long"),
    ],
)
def test_a_line_that_is_no_object_is_one_broken_row(line: bytes, why: str) -> None:
    for block_bytes in (1000, 7919, 10**6):
        rows = rows_of(b'\n{"a": 1, "b": 2}\n\n' + line + b'\n{"b": 3}', block_bytes)
        assert [rows[0], rows[2]] == [["1", "2"], ["", "3"]]
        broken = rows[1]
        assert isinstance(broken, BrokenRow)
        assert broken.error.startswith("Line 4: ")
        assert why in broken.error
        assert len(broken.cells) == 2
        text = line.decode("utf-8", "backslashreplace")
        assert text.startswith(broken.cells[0])
        assert len(broken.cells[0]) == min(len(text), 64 * 1024)


@examples(200)
@given(st.binary(max_size=200), block_sizes, st.integers(1, 50))
def test_lines_are_those_of_python_whatever_the_blocks(data: bytes, block_bytes: int, limit: int) -> None:
    blocks = [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]
    found = [(line.number, line.data, line.size_bytes) for line in read_lines(blocks, max_line_bytes=limit)]
    lines = data.split(b"\n")
    without_mark = [lines[0].removeprefix(b"\xef\xbb\xbf"), *lines[1:]]
    assert found == [
        (number, kept if len(line) > limit else kept.removesuffix(b"\r"), len(line))
        for number, (line, kept) in enumerate(zip(lines, without_mark, strict=True), 1)
        if kept.strip() or len(line) > limit
    ]


def test_a_key_that_is_no_column_is_never_passed_over() -> None:
    data = b'{"a": 1}\n' * 20 + b'{"a": 2, "late key": 3}\n{"a": 4}\n'
    assert rows_of(data)[-2:] == [["2", "3"], ["4", ""]]
    with pytest.raises(UnknownKeyError, match="late key"):
        rows_of(data, max_bytes=100)


def test_too_many_keys_are_refused() -> None:
    lines = [json.dumps({str(number): 1}).encode() for number in range(MAX_COLUMNS + 1)]
    assert len(rows_of(lines[0])) == 1
    with pytest.raises(SourceFormatError, match="10,000 different keys"):
        rows_of(b"\n".join(lines))

"""Many lines at once are those that `result_line` gives one at a time, from records and from the loops' texts."""

from __future__ import annotations

import struct
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.native import RowTexts, loops
from engine.results.csv_format import encode_text, format_record, result_line
from engine.results.json_format import result_json, results_json
from engine.results.lines import extra_lines, refused_lines_of_texts, success_lines, success_lines_of_texts
from tests.results.test_csv_format import CELLS

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["\n", ",\0,", '{"', '"', b"\n", date(2026, 1, 2), {1, 2}, object]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=3), min_size=1, max_size=2)
RECORDS = st.lists(CELLS, min_size=1, max_size=4).map(format_record)


@given(st.lists(VALUES, max_size=6) | st.lists(OBJECTS, max_size=6))
@example([orjson.Fragment(b"[1,\0,2]"), 1])
@example([2**70, {"a": 1}])
def test_json_of_many_results_is_that_of_each(results: list[Any]) -> None:
    assert results_json(results) == [result_json(result) for result in results]


@given(st.lists(st.tuples(RECORDS, VALUES), max_size=6) | st.lists(st.tuples(RECORDS, OBJECTS), max_size=6))
@example([("a", {"x": "\n"}), ("b", {"y": 1})])
@example([("a", orjson.Fragment(b'{"a":[1,\0,{"b":1}]}')), ("b", {"y": 1})])
def test_success_lines_are_those_of_each_row(pairs: list[tuple[str, Any]]) -> None:
    expected = [f"{record},{result_line([result_json(result)], '')[:-1]}" for record, result in pairs]
    text = success_lines([record for record, _ in pairs], [result for _, result in pairs])
    assert text == "".join(f"{line}\r\n" for line in expected)


@given(st.lists(st.tuples(st.lists(CELLS, min_size=1, max_size=4), CELLS), max_size=6))
def test_extra_lines_are_those_of_each_row(pairs: list[tuple[list[str], str]]) -> None:
    text = extra_lines([format_record(row) for row, _ in pairs], [extra for _, extra in pairs])
    assert text == "".join(f"{result_line(row, extra)}\r\n" for row, extra in pairs)


ROWS = st.lists(CELLS, max_size=4)


def texts_of(rows: list[list[str]]) -> RowTexts:
    joined, ends = b"", []
    for row in rows:
        joined += encode_text(format_record(row))
        ends.append(len(joined) if row else -1)
    return RowTexts(joined, struct.pack(f"{len(ends)}n", *ends))


@given(
    st.lists(st.tuples(ROWS, VALUES, st.none() | CELLS), max_size=6)
    | st.lists(st.tuples(ROWS, OBJECTS, st.none() | CELLS), max_size=6)
)
@example([([], 1, ""), (["a"], 2, "\ud800"), ([""], 3, None), ([], 4, None)])
@example([(["a"], orjson.Fragment(b"[1,\0,2]"), None), (["b"], 1, None)])
@example([(["a"], orjson.Fragment(b'"\0"'), None), (["b"], 1, None)])
def test_lines_of_texts_are_those_of_each_row(rows: list[tuple[list[str], Any, str | None]]) -> None:
    texts = texts_of([row for row, _, _ in rows])
    refused = [position for position, (_, _, message) in enumerate(rows) if message is not None]
    accepted = [(row, result) for row, result, message in rows if message is None]
    success = success_lines_of_texts(texts, refused, [result for _, result in accepted])
    assert success == encode_text("".join(f"{result_line(row, result_json(result))}\r\n" for row, result in accepted))
    messages = [message for _, _, message in rows if message is not None]
    failed = refused_lines_of_texts(texts, refused, messages)
    expected = [result_line(row, message) for row, _, message in rows if message is not None]
    assert failed == encode_text("".join(f"{line}\r\n" for line in expected))


@pytest.mark.parametrize(
    ("joined", "ends", "positions", "extras"),
    [
        (b"ab", (1, 3), [], ["x", "y"]),
        (b"ab", (2, 1), [], ["x", "y"]),
        (b"ab", (1, -2), [], ["x", "y"]),
        (b"ab", (1, 2), [2], ["x", "y"]),
        (b"ab", (1, 2), [-1], ["x", "y"]),
        (b"ab", (1, 2), [1, 0], ["x"]),
        (b"ab", (1, 2), [0, 0], ["x"]),
        (b"ab", (1, 2), [0], ["x", "y"]),
        (b"ab", (1, 2), [], ["x"]),
        (b"ab", (1, 2), [], []),
    ],
)
def test_the_loop_reads_nothing_that_is_not_there(
    joined: bytes, ends: tuple[int, ...], positions: list[int], extras: list[str]
) -> None:
    assert loops is not None
    with pytest.raises(ValueError, match=r"ends|positions|extra"):
        loops.result_lines(joined, struct.pack(f"{len(ends)}n", *ends), 0, positions, True, extras)

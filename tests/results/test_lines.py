"""Many lines at once are those that `result_line` gives one at a time."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from engine.results.csv_format import format_record, result_line
from engine.results.json_format import result_json, results_json
from engine.results.lines import extra_lines, success_lines
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

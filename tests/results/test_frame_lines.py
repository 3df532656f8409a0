"""Lines made from columns are those that `result_line` and `result_json` give row by row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.native import loops
from engine.results.csv_format import encode_lines, format_record, result_line
from engine.results.frame_lines import accepted_lines, accepted_lines_of_texts, frame_lines, frame_records, json_column
from engine.results.json_format import result_json
from tests.results.test_csv_format import CELLS
from tests.results.test_lines import texts_of

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.String: st.text(st.sampled_from('ab"\\\n\r\t\b\f,{}é😀\x7f\0\x1f /'), max_size=40) | CELLS,
    pl.Categorical: st.sampled_from(["a", 'b"', "a longer one than twelve bytes"]),
    pl.Int8: st.integers(-128, 127),
    pl.Int16: st.integers(-(2**15), 2**15 - 1),
    pl.Int32: st.integers(-(2**31), 2**31 - 1),
    pl.UInt8: st.integers(0, 255),
    pl.UInt16: st.integers(0, 2**16 - 1),
    pl.UInt32: st.integers(0, 2**32 - 1),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.UInt64: st.integers(0, 2**64 - 1),
    pl.Boolean: st.booleans(),
    pl.Float64: st.floats(),
    pl.Date: st.dates(),
    pl.List(pl.Int64): st.lists(st.integers(0, 9), max_size=2),
    pl.Struct({"a": pl.Int64, "b": pl.String}): st.fixed_dictionaries({"a": st.integers(0, 9), "b": CELLS}),
    pl.Null: st.none(),
}


@st.composite
def series(draw: st.DrawFn, *, size: int, name: str = "") -> pl.Series:
    dtype = draw(st.sampled_from(list(VALUES)))
    values = draw(st.lists(st.none() | VALUES[dtype], min_size=size, max_size=size))
    if not draw(st.booleans()):
        return pl.Series(name, values, dtype=dtype)
    # Of several arrays, some of which begin in the middle of what they are a slice of.
    edges = sorted(draw(st.lists(st.integers(0, size), max_size=3)))
    pieces = [
        pl.Series(name, [*values[:1], *values[start:end]], dtype=dtype)[min(size, 1) :]
        for start, end in pairwise([0, *edges, size])
    ]
    return pl.concat(pieces, rechunk=False)


@given(st.data(), st.integers(1, 5))
def test_json_of_a_column_is_that_of_each_value(data: st.DataObject, size: int) -> None:
    column = data.draw(series(size=size))
    expected = [result_json({} if value is None else value) for value in column.to_list()]
    assert json_column(column).to_list() == expected


@given(st.data(), st.integers(1, 5))
def test_json_of_a_frame_is_that_of_each_row(data: st.DataObject, size: int) -> None:
    names = data.draw(st.lists(st.sampled_from(["a", "b c", '"', "é,\n", "0"]), min_size=1, unique=True))
    frame = pl.DataFrame([data.draw(series(size=size, name=name)) for name in names])
    assert json_column(frame).to_list() == [result_json(row) for row in frame.to_dicts()]


@given(st.data(), st.integers(1, 4), st.integers(1, 5))
def test_lines_are_those_of_each_row(data: st.DataObject, width: int, size: int) -> None:
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=size, max_size=size))
    extras = data.draw(st.lists(CELLS, min_size=size, max_size=size))
    frame = pl.DataFrame(rows, schema=[f"c{number}" for number in range(width)], orient="row")
    records = frame_records(frame)
    assert records.to_list() == list(map(format_record, rows))
    expected = encode_lines([result_line(row, extra) for row, extra in zip(rows, extras, strict=True)])
    assert frame_lines(records, pl.Series(extras, dtype=pl.String)) == expected


@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers() | CELLS), max_size=6))
def test_only_accepted_rows_have_lines(rows: list[tuple[bool, Any]]) -> None:
    accepted = pl.Series([is_accepted for is_accepted, _ in rows], dtype=pl.Boolean)
    records = pl.Series([str(number) for number in range(len(rows))], dtype=pl.String)
    results = [result for _, result in rows]
    lines = [
        result_line([str(number)], result_json({} if result is None else result))
        for number, (is_accepted, result) in enumerate(rows)
        if is_accepted
    ]
    texts = texts_of([[str(number)] for number in range(len(rows))])
    refused = [number for number, (is_accepted, _) in enumerate(rows) if not is_accepted]
    assert accepted_lines(records, results, accepted) == encode_lines(lines)
    assert accepted_lines_of_texts(texts, results, accepted, refused) == encode_lines(lines)
    plain = [result_line([str(number)], "{}") for number, (is_accepted, _) in enumerate(rows) if is_accepted]
    assert accepted_lines(records, None, accepted) == encode_lines(plain)
    assert accepted_lines_of_texts(texts, None, accepted, refused) == encode_lines(plain)


@given(st.data(), st.integers(0, 5), st.integers(0, 3))
def test_lines_of_texts_are_those_of_each_row(data: st.DataObject, size: int, width: int) -> None:
    """By columns; of no width the column stands by itself."""
    accepted = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    columns = [data.draw(series(size=size, name=name)) for name in ("a", '"é,\n', "c")[: width or 1]]
    results = pl.DataFrame(columns) if width else columns[0]
    rows = [["x", "y,z"]] * data.draw(st.integers(0, 2)) + [[str(number)] for number in range(size)]
    texts = texts_of(rows).between(len(rows) - size, len(rows))
    assert len(texts) == size
    values = results.to_dicts() if width else [{} if value is None else value for value in results.to_list()]
    expected = [
        result_line([str(number)], result_json(value))
        for number, (value, is_accepted) in enumerate(zip(values, accepted, strict=True))
        if is_accepted
    ]
    refused = [number for number, is_accepted in enumerate(accepted) if not is_accepted]
    given_accepted = pl.Series(accepted, dtype=pl.Boolean)
    assert accepted_lines_of_texts(texts, results, given_accepted, refused) == encode_lines(expected)
    records = pl.Series([format_record(row) for row in rows[len(rows) - size :]], dtype=pl.String)
    assert accepted_lines(records, results, given_accepted) == encode_lines(expected)


def test_results_are_as_many_as_rows() -> None:
    assert loops is not None
    texts = texts_of([["1"], ["2"]])
    columns = [(b'{""a"":', pl.Series([1, 2, 3]).__arrow_c_stream__())]
    with pytest.raises(ValueError, match="a result for each row"):
        loops.json_lines(texts.joined, texts.ends, texts.start, [], columns, True)
    columns = [(b'{""a"":', pl.Series([0.5, 1.5]).__arrow_c_stream__())]
    assert loops.json_lines(texts.joined, texts.ends, texts.start, [], columns, True) is None

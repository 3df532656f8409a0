"""Rows of a staged chunk are the cells of its columns, each with the text that `csv.writer` would write."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.readers.arrow_rows
from engine.arrow_form import batch_of, schema_of
from engine.native import RowTexts, loops
from engine.readers import BrokenRow
from engine.readers.arrow_rows import arrow_texts, read_arrow, read_arrow_rows, read_arrow_slices
from tests.readers.strategies import examples
from tests.readers.test_slices import minimal, texts_of

CELLS = st.text(st.sampled_from('ab1é漢😀,"\r\n\0 ;'), max_size=6)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[list[list[list[str]]], list[list[str | None]]]:
    """Batches of rows, and what is wrong with each row."""
    width = draw(st.integers(1, 4))
    rows = st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6)
    batches = draw(st.lists(rows, min_size=1, max_size=3))
    broken = st.none() | st.just("wrong") if draw(st.booleans()) else st.none()
    return batches, [[draw(broken) for _ in batch] for batch in batches]


def staged(batches: list[list[list[str]]], errors: list[list[str | None]], width: int) -> bytes:
    stored = b""
    for rows, wrong in zip(batches, errors, strict=True):
        # With a row before the first, so that the columns begin somewhere in their buffers.
        padded = [["pad"] * width, *rows]
        columns = [pa.array([row[index] for row in padded], pa.string()) for index in range(width)]
        batch = batch_of(columns, pa.array(["pad", *wrong], pa.string()))
        stored += batch.slice(1).serialize().to_pybytes()
    return stored


@examples(200)
@given(chunks(), st.integers(1, 4))
def test_rows_are_those_of_the_columns(
    chunk: tuple[list[list[list[str]]], list[list[str | None]]], max_rows: int
) -> None:
    batches, errors = chunk
    width = next((len(row) for rows in batches for row in rows), 1)
    data = staged(batches, errors, width)
    expected: list[Any] = [
        row if error is None else BrokenRow(row, error)
        for rows, wrong in zip(batches, errors, strict=True)
        for row, error in zip(rows, wrong, strict=True)
    ]
    assert list(read_arrow_rows(data, width)) == expected
    for implementation in (loops, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.readers.arrow_rows, "loops", implementation)
            slices = list(read_arrow_slices(data, width, max_rows=max_rows))
        assert [row for piece in slices for row in piece.rows] == expected
        for piece in slices:
            assert 1 <= len(piece.rows) <= max_rows
            is_regular = not any(isinstance(row, BrokenRow) for row in piece.rows)
            assert isinstance(piece.records, RowTexts) == (implementation is not None and is_regular)
            if piece.records is not None:
                assert texts_of(piece) == list(map(minimal, piece.rows))  # type: ignore[arg-type]


@examples(100)
@given(chunks())
def test_texts_of_a_table_are_those_of_its_rows(chunk: tuple[list[list[list[str]]], list[list[str | None]]]) -> None:
    batches, errors = chunk
    width = next((len(row) for rows in batches for row in rows), 1)
    table = read_arrow(staged(batches, errors, width), width).select(range(width))
    texts = arrow_texts(table)
    assert texts is not None
    ends = [0, *(end for (end,) in struct.iter_unpack("n", texts.ends))]
    found = [texts.joined[start:end].decode() for start, end in itertools.pairwise(ends)]
    assert found == [minimal(row) for rows in batches for row in rows]


def test_without_the_loop_no_texts_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.readers.arrow_rows, "loops", None)
    assert arrow_texts(schema_of(1).empty_table().select([0])) is None


@pytest.mark.parametrize(
    "column",
    [
        (struct.pack("3i", 0, 1, 3), b"ab", 0),
        (struct.pack("3i", 0, 2, 1), b"ab", 0),
        (struct.pack("3i", -1, 1, 2), b"ab", 0),
        (struct.pack("3i", 0, 1, 2), None, 0),
        (struct.pack("3i", 0, 1, 2), b"ab", 1),
        (struct.pack("3i", 0, 1, 2), b"ab", -1),
        (struct.pack("2i", 0, 1), b"ab", 0),
        (b"", b"ab", 0),
    ],
)
def test_the_loop_reads_nothing_that_is_not_there(column: tuple[bytes, bytes | None, int]) -> None:
    assert loops is not None
    with pytest.raises(ValueError, match="offsets"):
        loops.column_rows([column], 2, True)


def test_bytes_that_are_no_text_are_refused() -> None:
    assert loops is not None
    with pytest.raises(UnicodeDecodeError):
        loops.column_rows([(struct.pack("2i", 0, 2), b"a\xff", 0)], 1, True)

"""The record batches of one chunk of a staged table → its rows, or its columns as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from engine.arrow_form import schema_of
from engine.native import RowTexts, loops
from engine.readers.rows import BrokenRow, Row
from engine.readers.slices import RowSlice


def read_arrow(data: bytes, column_count: int) -> pa.Table:
    """A chunk's columns `col_0` …, then `error` (see `engine.arrow_form`), without a copy of the cells.

    Args:
        data: whole record batch messages, as a chunk's byte range holds them.
    """
    return pa.Table.from_batches(_batches(data, column_count), schema=schema_of(column_count))


def read_arrow_rows(data: bytes, column_count: int) -> Iterator[Row]:
    """The rows of a chunk in order, each of `column_count` cells; the lists of one batch are made at a time.

    Args:
        data: as in `read_arrow`.
    """
    for batch in _batches(data, column_count):
        yield from _rows(batch)


def read_arrow_slices(data: bytes, column_count: int, *, max_rows: int) -> Iterator[RowSlice]:
    """The rows of `read_arrow_rows` in slices of 1 to `max_rows`, with their texts where these are known."""
    for batch in _batches(data, column_count):
        for start in range(0, batch.num_rows, max_rows):
            some = batch.slice(start, max_rows)
            *columns, errors = some.columns
            if loops is None or errors.null_count < len(errors):
                yield RowSlice(list(_rows(some)))
            else:
                rows, joined, ends = loops.column_rows(_buffers(columns), some.num_rows, True)
                yield RowSlice(rows, RowTexts(joined, ends))  # type: ignore[arg-type]


def arrow_texts(table: pa.Table) -> RowTexts | None:
    """The texts of a table's rows, all of whose columns are of the type string; None without the compiled loop."""
    if loops is None or not table.num_columns:
        return None
    columns = table.combine_chunks().columns
    whole = [column.chunk(0) if column.num_chunks else pa.array([], pa.string()) for column in columns]
    return RowTexts(*loops.column_rows(_buffers(whole), table.num_rows, False)[1:])


def _buffers(columns: Sequence[pa.Array]) -> list[tuple[Any, Any, int]]:
    # No validity: a staged table has no nulls, and elsewhere their length is zero.
    return [(*column.buffers()[1:], column.offset) for column in columns]


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    *columns, errors = batch.columns
    rows = map(list, zip(*(column.to_pylist() for column in columns), strict=True))
    if errors.null_count == len(errors):
        yield from rows
        return
    for row, error in zip(rows, errors.to_pylist(), strict=True):
        yield row if error is None else BrokenRow(row, error)


def _batches(data: bytes, column_count: int) -> Iterator[pa.RecordBatch]:
    schema = schema_of(column_count)
    source = pa.BufferReader(data)
    while source.tell() < len(data):
        yield pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)

"""The record batches of one chunk of a staged table → its rows, or its columns as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from engine.arrow_form import schema_of
from engine.readers.rows import BrokenRow, Row


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
        *columns, errors = batch.columns
        rows = map(list, zip(*(column.to_pylist() for column in columns), strict=True))
        if errors.null_count == len(errors):
            yield from rows
            continue
        for row, error in zip(rows, errors.to_pylist(), strict=True):
            yield row if error is None else BrokenRow(row, error)


def _batches(data: bytes, column_count: int) -> Iterator[pa.RecordBatch]:
    schema = schema_of(column_count)
    source = pa.BufferReader(data)
    while source.tell() < len(data):
        yield pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)

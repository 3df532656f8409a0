"""NDJSON → a staged table: a look at its start finds the columns, one pass over all of it the rows.

Where the pass comes to a key that the start did not show, all objects are looked through for keys,
and the rows are staged anew: no key is lost, and most files are read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from engine.arrow_form import ROWS_PER_BATCH, batch_of
from engine.config import MIB, EngineConfig
from engine.model import Source
from engine.options import ImportOptions
from engine.readers import HEAD_BYTES, BrokenRow, Row
from engine.readers.encoding import byte_order_mark, normalise, wide_without_mark
from engine.readers.ndjson import Line, UnknownKeyError, find_columns, read_lines, read_objects
from engine.staging import as_utf8
from engine.staging.arrow import StagedTable, stage_as_arrow
from engine.storage import Storage, open_location
from engine.table.checkpoints import Checkpoint, watched

#: Bytes whose objects say at first which columns there are: enough that few files have a key only behind them.
COLUMN_BYTES = 8 * MIB
#: Cells and characters of a batch: its rows are held as Python objects.
_CELLS_PER_BATCH = 200_000
_CHARACTERS_PER_BATCH = 4 * MIB


def stage_ndjson(
    source: Source,
    options: ImportOptions,
    config: EngineConfig,
    target: Storage,
    target_key: str,
    *,
    chunk_size: int,
    checkpoint: Checkpoint,
) -> StagedTable:
    """See `Stager`. The keys are the header, whatever `header_rows` says: every line is a row."""
    storage, key = open_location(source.url, config)
    head = storage.read_range(key, 0, min(source.size_bytes, HEAD_BYTES), etag=source.etag)
    encoding = normalise(options.encoding) if options.encoding else _wide_encoding(head) or "utf-8"

    def lines() -> Iterator[Line]:
        found = storage.read_blocks(key, 0, source.size_bytes, block_bytes=config.scan_block_bytes, etag=source.etag)
        blocks = found if encoding == "utf-8" else as_utf8(found, encoding)
        return watched(read_lines(blocks, max_line_bytes=config.max_record_bytes), checkpoint)

    def checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        row_count = 0
        for batch in batches:
            row_count += batch.num_rows
            config.check_rows(row_count, source.url)
            yield batch

    def stage(columns: tuple[str, ...]) -> StagedTable:
        staged = stage_as_arrow(
            checked(_batches(read_objects(lines(), columns), len(columns))),
            len(columns),
            target,
            target_key,
            chunk_size=chunk_size,
            max_chunk_bytes=config.max_chunk_bytes,
        )
        return replace(staged, header_records=(columns,), details={"kind": "ndjson", "encoding": encoding})

    try:
        return stage(find_columns(lines(), source=source.url, max_bytes=COLUMN_BYTES))
    except UnknownKeyError:
        return stage(find_columns(lines(), source=source.url))


def _wide_encoding(head: bytes) -> str | None:
    marked = byte_order_mark(head)
    return marked[0] if marked else wide_without_mark(head[:4096])


def _batches(rows: Iterator[Row], column_count: int) -> Iterator[pa.RecordBatch]:
    most = max(1, min(ROWS_PER_BATCH, _CELLS_PER_BATCH // column_count))
    for first in rows:
        batch = [first]
        size = _characters(first)
        while size < _CHARACTERS_PER_BATCH and len(batch) < most:
            row = next(rows, None)
            if row is None:
                break
            batch.append(row)
            size += _characters(row)
        yield _batch(batch)


def _characters(row: Row) -> int:
    return sum(map(len, row.cells if isinstance(row, BrokenRow) else row))


def _batch(rows: list[Row]) -> pa.RecordBatch:
    cells = [row.cells if isinstance(row, BrokenRow) else row for row in rows]
    errors = [row.error if isinstance(row, BrokenRow) else None for row in rows]
    columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)]
    return batch_of(columns, pa.array(errors, pa.string()))

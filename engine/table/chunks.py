"""The rows of one chunk, whatever form its source is read in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from engine.config import EngineConfig
from engine.model import Chunk, Plan
from engine.native import loops
from engine.readers import (
    BrokenRow,
    PlainText,
    Row,
    RowSlice,
    TextFrame,
    bytes_to_read,
    plain_text,
    read_frame,
    read_rows,
    read_slices,
    sliced,
)
from engine.results import original_row
from engine.storage import Storage
from engine.table.checksums import read_checked

if TYPE_CHECKING:
    import pyarrow as pa


def read_chunk(storage: Storage, key: str, plan: Plan, chunk: Chunk, config: EngineConfig) -> Iterator[Row]:
    """Fetch a chunk's bytes, pinned to the planned version, and give its rows in order.

    Args:
        storage: with `key`, where `plan.readable` is; handed in so that a process opens it once.

    Raises:
        SourceChangedError: the source was replaced since it was planned.
    """
    if plan.added_column is not None:
        whole = replace(plan, added_column=None, column_count=plan.column_count + 1)
        # Formulae are escaped in CSV only.
        unescape = config.escape_formulae and plan.form == "text"
        return (_original(row, unescape) for row in read_chunk(storage, key, whole, chunk, config))
    if plan.form == "arrow":
        from engine.readers.arrow_rows import read_arrow_rows

        return read_arrow_rows(_arrow_bytes(storage, key, plan, chunk), plan.column_count)
    data = _text_bytes(storage, key, plan, chunk, config)
    return read_rows(data, chunk, plan.dialect, max_record_bytes=config.max_record_bytes)


def read_chunk_slices(
    storage: Storage, key: str, plan: Plan, chunk: Chunk, config: EngineConfig, *, max_rows: int
) -> PlainText | Iterator[RowSlice]:
    """As `read_chunk`, but slices of 1 to `max_rows` rows, with their texts where these are known.

    Returns:
        A PlainText, which gives such slices, where rows can be cut while they are run.
    """
    if plan.form == "arrow" and plan.added_column is None:
        from engine.readers.arrow_rows import read_arrow_slices

        return read_arrow_slices(_arrow_bytes(storage, key, plan, chunk), plan.column_count, max_rows=max_rows)
    if plan.added_column is not None:
        return sliced(read_chunk(storage, key, plan, chunk, config), max_rows)
    data = _text_bytes(storage, key, plan, chunk, config)
    plain = plain_text(data, chunk, plan.dialect)
    if plain is not None:
        return plain
    return read_slices(data, chunk, plan.dialect, max_record_bytes=config.max_record_bytes, max_rows=max_rows)


def load_frames() -> None:
    """Load ahead of time what `read_chunk_frame` needs."""
    import_module("polars")
    if loops is None:
        import_module("engine.readers.frame_layout")
        import_module("pyarrow")


def read_chunk_frame(
    storage: Storage, key: str, plan: Plan, chunk: Chunk, config: EngineConfig, *, names: Sequence[str]
) -> TextFrame | None:
    """As `read_chunk`, but as a frame with the given columns; None where some row cannot stand in one."""
    if plan.added_column is not None:
        return None
    if plan.form == "arrow":
        if chunk.irregular or not names:
            return None
        import polars as pl

        from engine.readers.arrow_rows import arrow_texts

        table = read_chunk_columns(storage, key, plan, chunk).select(range(len(names))).rename_columns(list(names))
        return TextFrame(pl.DataFrame(table), arrow_texts(table))
    return read_frame(_text_bytes(storage, key, plan, chunk, config), chunk, plan.dialect, names)


def read_chunk_columns(storage: Storage, key: str, plan: Plan, chunk: Chunk) -> pa.Table:
    """A chunk of a plan in the form "arrow" as its columns `col_0` … of text and, last, `error` (text or null).

    No Python object is made for a cell. Where `chunk.irregular` is False, `error` is null throughout.

    Raises:
        SourceChangedError: the staged copy was replaced since it was planned.
    """
    from engine.readers.arrow_rows import read_arrow

    return read_arrow(_arrow_bytes(storage, key, plan, chunk), plan.column_count)


def _original(row: Row, unescape_formulae: bool) -> Row:
    if isinstance(row, BrokenRow):
        return replace(row, cells=original_row(row.cells, unescape_formulae=unescape_formulae))
    return original_row(row, unescape_formulae=unescape_formulae)


def _text_bytes(storage: Storage, key: str, plan: Plan, chunk: Chunk, config: EngineConfig) -> bytes:
    size = bytes_to_read(chunk, max_record_bytes=config.max_record_bytes)
    end, etag = chunk.byte_start + size, plan.readable.etag
    return read_checked(lambda: storage.read_range(key, chunk.byte_start, end, etag=etag), chunk, plan.readable.url)


def _arrow_bytes(storage: Storage, key: str, plan: Plan, chunk: Chunk) -> bytes:
    start, end, etag = chunk.byte_start, chunk.byte_end, plan.readable.etag
    return read_checked(lambda: storage.read_range(key, start, end, etag=etag), chunk, plan.readable.url)

"""The bytes of a chunk → a frame of its cells and the texts of its records, without a Python object for any of them.

A chunk in which a record is not regular, or has another number of cells than the table, is read as
rows. The compiled loop finds that as it cuts the cells. polars pads short rows, skips blank lines
and gives up at a stray quote: where it cuts them, the chunk is looked at first.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model import Chunk, Dialect
from engine.native import RowTexts, loops
from engine.readers.frame import ArrowArray, TextFrame
from engine.readers.slices import as_utf8, is_basic, is_whole


def read_frame(data: bytes, chunk: Chunk, dialect: Dialect, names: Sequence[str]) -> TextFrame | None:
    """The chunk's rows, the same cells as `read_rows` gives; None where they have to be read as rows.

    Args:
        data: as for `read_rows`.
        names: of the columns, unique.
    """
    if not names or not is_basic(dialect) or not is_whole(data, chunk):
        return None
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None
    text = as_utf8(data, dialect.encoding)
    if text is None:
        return None
    if not text.endswith(b"\n"):
        text += b"\n"
    if loops is not None:
        return _by_loops(text, chunk.row_count, dialect, names)
    return _by_polars(text, dialect, names)


def _by_loops(text: bytes, row_count: int, dialect: Dialect, names: Sequence[str]) -> TextFrame | None:
    """One walk over the bytes finds whether all records are regular, and cuts them."""
    import polars as pl

    assert loops is not None
    quote = ord(dialect.quote_char) if dialect.quote_char is not None else -1
    found = loops.table_columns(text, len(names), row_count, ord(dialect.delimiter), quote)
    if found is None:
        return None
    joined, ends, columns = found
    series = (pl.Series(ArrowArray(column)) for column in columns)
    frame = pl.DataFrame(dict(zip(names, series, strict=True)))
    return TextFrame(frame, RowTexts(joined, ends))


def _by_polars(text: bytes, dialect: Dialect, names: Sequence[str]) -> TextFrame | None:
    """polars reads what is known to be regular."""
    import polars as pl

    from engine.readers.frame_layout import regular_records

    found = regular_records(text, len(names), dialect)
    if found is None:
        return None
    row_count, records = found
    frame = pl.read_csv(
        text,
        has_header=False,
        separator=dialect.delimiter,
        quote_char=dialect.quote_char,
        schema=dict.fromkeys(names, pl.String),
    )
    # polars leaves out what it takes for blank.
    return TextFrame(frame.fill_null(""), records) if frame.height == row_count else None

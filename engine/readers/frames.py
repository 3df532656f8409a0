"""The bytes of a chunk → a frame of its cells and the texts of its records, without a Python object for any of them.

polars pads short rows, skips blank lines and gives up at a stray quote. So the chunk is looked at
first: whether all records are regular and have as many cells as the table. A chunk in which one is
not is read as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.model import Chunk, Dialect
from engine.native import RowTexts, loops
from engine.readers.frame import TextFrame
from engine.readers.slices import as_utf8, is_basic, is_whole

if TYPE_CHECKING:
    import polars as pl


def read_frame(data: bytes, chunk: Chunk, dialect: Dialect, names: Sequence[str]) -> TextFrame | None:
    """The chunk's rows, the same cells as `read_rows` gives; None where they have to be read as rows.

    Args:
        data: as for `read_rows`.
        names: of the columns, unique.
    """
    import polars as pl

    if not names or not is_basic(dialect) or not is_whole(data, chunk):
        return None
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None
    text = as_utf8(data, dialect.encoding)
    if text is None:
        return None
    if not text.endswith(b"\n"):
        text += b"\n"
    found = _regular_records(text, len(names), dialect)
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


def _regular_records(text: bytes, width: int, dialect: Dialect) -> tuple[int, RowTexts | pl.Series | None] | None:
    """How many records there are, and their texts, if known; None unless all are regular and have `width` cells."""
    if loops is None:
        from engine.readers.frame_layout import regular_records

        return regular_records(text, width, dialect)
    quote = ord(dialect.quote_char) if dialect.quote_char is not None else -1
    packed = loops.row_texts(text, width, ord(dialect.delimiter), quote)
    if packed is None:
        return None
    texts = RowTexts(*packed)
    return len(texts), texts

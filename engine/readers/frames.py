"""The bytes of a chunk → a frame of its cells and a column of its records, without a Python object for any of them.

polars pads short rows, skips blank lines and gives up at a stray quote. So the chunk is looked at
first, by arrays: where each quote, delimiter and line end stands says whether all records are
regular and have as many cells as the table. A chunk in which one is not is read as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.model import Chunk, Dialect
from engine.readers.frame import TextFrame
from engine.readers.rows import can_be_read_plainly
from engine.readers.slices import is_basic

if TYPE_CHECKING:
    import polars as pl

Integers = npt.NDArray[np.int64]

_LF, _CR = 10, 13
#: Bytes compared at once: what comes of them stays in the processor's cache, and takes no memory to speak of.
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Layout:
    ends: Integers
    """Offset behind each record's line end."""
    is_minimal: bool
    """Whether every record is as `csv.writer` would write it, apart from its line end."""


def read_frame(data: bytes, chunk: Chunk, dialect: Dialect, names: Sequence[str]) -> TextFrame | None:
    """The chunk's rows, the same cells as `read_rows` gives; None where they have to be read as rows.

    Args:
        data: as for `read_rows`.
        names: of the columns, unique.
    """
    import polars as pl

    if not names or not is_basic(dialect) or not can_be_read_plainly(data, chunk, dialect):
        return None
    if not data.isascii() and dialect.encoding != "utf-8":
        data = data.decode(dialect.encoding).encode()
    if not data.endswith(b"\n"):
        data += b"\n"
    layout = _layout(data, len(names), dialect)
    if layout is None:
        return None
    frame = pl.read_csv(
        data,
        has_header=False,
        separator=dialect.delimiter,
        quote_char=dialect.quote_char,
        schema=dict.fromkeys(names, pl.String),
    )
    if frame.height != len(layout.ends):
        return None
    return TextFrame(frame.fill_null(""), _records(data, layout.ends) if layout.is_minimal else None)


def _layout(data: bytes, width: int, dialect: Dialect) -> _Layout | None:
    """Where the records end; None unless all are regular and have `width` cells.

    Args:
        data: ends with a LF.
    """
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None
    array = np.frombuffer(data, np.uint8)
    delimiter, quote = ord(dialect.delimiter), dialect.quote_char
    separators = _separators(array, delimiter)
    is_minimal = delimiter == ord(",") and (quote == '"' or b'"' not in data)
    if quote is not None and quote.encode("ascii") in data:
        quotes = np.flatnonzero(array == ord(quote))
        if len(quotes) % 2 or not _is_regular(array, quotes, delimiter):
            return None
        opening, closing = quotes[0::2], quotes[1::2]
        first = np.searchsorted(separators, opening)
        inside = np.searchsorted(separators, closing) - first
        is_minimal = is_minimal and quote == '"' and _are_needed(opening, closing, inside)
        separators = np.delete(separators, _ranges(first, inside))
    if len(separators) % width:
        return None
    cells = separators.reshape(-1, width)
    kinds = array[cells]
    if not (kinds[:, -1] == _LF).all() or not (kinds[:, :-1] == delimiter).all():
        return None
    ends = cells[:, -1] + 1
    if width == 1 and _has_blank(array, ends):
        return None
    return _Layout(ends, is_minimal)


def _separators(array: npt.NDArray[np.uint8], delimiter: int) -> Integers:
    """Of every cell the byte behind it; quotes mean nothing here."""
    found = []
    for start in range(0, len(array), _PIECE_BYTES):
        piece = array[start : start + _PIECE_BYTES]
        found.append(np.flatnonzero((piece == delimiter) | (piece == _LF)) + start)
    return np.concatenate(found)


def _is_regular(array: npt.NDArray[np.uint8], quotes: Integers, delimiter: int) -> bool:
    """Whether quotes open cells only at their start, and close them only at their end."""
    may_border = np.zeros(256, np.bool_)
    may_border[[_LF, _CR, delimiter, array[quotes[0]]]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    before = array[opening[opening > 0] - 1]
    return bool(may_border[before].all() and may_border[array[closing + 1]].all())


def _are_needed(opening: Integers, closing: Integers, inside: Integers) -> bool:
    """Whether every quoted cell holds a quote, a delimiter or a line end."""
    # A doubled quote closes and opens again at once.
    goes_on = opening[1:] == closing[:-1] + 1
    is_single = ~np.concatenate([[False], goes_on]) & ~np.concatenate([goes_on, [False]])
    return bool((inside[is_single] > 0).all())


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """The integers of all [start, start + length)."""
    filled = lengths > 0
    starts, lengths = starts[filled], lengths[filled]
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def _has_blank(array: npt.NDArray[np.uint8], ends: Integers) -> bool:
    """Whether a line holds nothing but its end."""
    starts = np.concatenate([[0], ends[:-1]])
    return bool((array[starts] == _LF).any() or (array[starts] == _CR).any())


def _records(data: bytes, ends: Integers) -> pl.Series:
    import polars as pl

    # Not pyarrow, which takes 25 MiB and a tenth of a second, for a struct of three pointers.
    from nanoarrow import c_array_from_buffers, large_string

    offsets = np.concatenate([[0], ends]).astype(np.int64)
    records = pl.Series(c_array_from_buffers(large_string(), len(ends), [None, offsets, data])).str.strip_suffix("\n")
    # Each CR stands before a LF, and those at the end of a record belong to its line end.
    return records.str.strip_suffix("\r") if b"\r" in data else records

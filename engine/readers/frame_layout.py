"""Whether all records of a chunk are regular, and the column of their texts, by arrays.

Where each quote, delimiter and line end stands says so. For an installation without the compiled
loop `table_columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.model import Dialect
from engine.readers.frame import ArrowArray

if TYPE_CHECKING:
    import polars as pl

Integers = npt.NDArray[np.int64]

_LF, _CR = 10, 13
#: Bytes compared at once: what comes of them stays in the processor's cache, and takes no memory to speak of.
_PIECE_BYTES = 256 * 1024


def regular_records(data: bytes, width: int, dialect: Dialect) -> tuple[int, pl.Series | None] | None:
    """How many records there are, and their texts where every one is as `csv.writer` would write it.

    Args:
        data: ends with a LF; a CR stands only before a LF.

    Returns:
        None unless all records are regular and have `width` cells.
    """
    layout = _layout(data, width, dialect)
    if layout is None:
        return None
    return len(layout.ends), _records(data, layout.ends) if layout.is_minimal else None


@dataclass(frozen=True, slots=True)
class _Layout:
    ends: Integers
    """Offset behind each record's line end."""
    is_minimal: bool
    """Whether every record is as `csv.writer` would write it, apart from its line end."""


def _layout(data: bytes, width: int, dialect: Dialect) -> _Layout | None:
    """Where the records end; None unless all are regular and have `width` cells."""
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
    import pyarrow as pa

    offsets = np.concatenate([[0], ends]).astype(np.int64)
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    # Given an array of pyarrow itself, polars would load all its functions.
    records = pl.Series(ArrowArray(lines.__arrow_c_array__())).str.strip_suffix("\n")
    # Each CR stands before a LF, and those at the end of a record belong to its line end.
    return records.str.strip_suffix("\r") if b"\r" in data else records

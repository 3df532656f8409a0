"""The bytes of a column of text as numpy arrays: what a regular expression would be slow to tell of every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class TextBytes:
    """A view of a column, without a copy."""

    def __init__(self, column: pa.Array) -> None:
        _, offsets, data = column.buffers()
        kind = np.int64 if column.type == pa.large_string() else np.int32
        found: Any = np.frombuffer(offsets, kind) if offsets is not None and offsets.size else np.zeros(1, kind)
        ends: npt.NDArray[Any] = found[column.offset : column.offset + len(column) + 1]
        self.starts: npt.NDArray[Any] = ends[:-1]
        self.lengths: npt.NDArray[Any] = ends[1:] - ends[:-1]
        """Bytes of each row; of a null none."""
        self._bytes = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)

    def any_below(self, byte: int) -> bool:
        """Whether any byte of a row, whichever, is below this one."""
        data = self._bytes[self.starts[0] : self.starts[-1] + self.lengths[-1]] if len(self.starts) else self._bytes[:0]
        return bool(len(data)) and bool(data.min() < byte)

    def at(self, rows: npt.NDArray[np.intp], place: int) -> npt.NDArray[np.uint8]:
        """The byte at a place of each of the rows, all of which are longer."""
        found: npt.NDArray[np.uint8] = self._bytes[self.starts[rows] + place]
        return found

    def last(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """The last byte of each of the rows, none of which is empty."""
        found: npt.NDArray[np.uint8] = self._bytes[self.starts[rows] + self.lengths[rows] - 1]
        return found


def last_filled(column: pa.Array, start: int) -> int:
    """Behind the last row, from `start` on, that is neither empty nor null; `start` where there is none."""
    filled = np.flatnonzero(TextBytes(column).lengths[start:])
    return start + int(filled[-1]) + 1 if len(filled) else start


def place_texts(column: pa.Array, rows: npt.NDArray[Any], texts: pa.Array) -> pa.Array:
    """The column with other texts at some of its rows, which are in order."""
    if not len(rows):
        return column
    if texts.type != column.type and pa.large_string() in (texts.type, column.type):
        texts, column = texts.cast(pa.large_string()), column.cast(pa.large_string())
    if len(rows) == len(column):
        return texts
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), texts)

"""fastexcel's text of one column → its cells as the user sees them, where the column leaves no doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.staging.excel.facts import Facts

#: Where in `2024-02-29 13:05:00` a character is what it always is.
_DATE_MARKS = ((4, b"-"), (7, b"-"), (10, b" "), (13, b":"), (16, b":"))
_DATE_BYTES = 19
_DAY_BYTES = 10
_DATE_WITH_FRACTION_BYTES = 23
#: Of a number with a point and 16 digits, one more than spreadsheets have.
_NOISE_BYTES = 17


def settle_column(column: pa.Array, facts: Facts) -> pa.Array | None:
    """The cells of a column as text, a null for an empty one; None where they have to be read one by one.

    Args:
        column: as fastexcel gives it with the type "string".
        facts: what there is in the whole sheet.
    """
    if not facts.is_regular:
        facts = Facts()
    view = _TextView(column)
    if view.may_hold_numbers(least_bytes=1) if facts.has_precise_numbers else view.may_hold_noise(column):
        return None
    if facts.has_booleans:
        found = view.booleans()
        if len(found) and facts.has_boolean_texts:
            return None
        column = _replace(column, found, lambda texts: pc.utf8_upper(texts))
    if not facts.has_dates:
        return column
    dates = view.dates()
    if not len(dates):
        return column
    if facts.has_durations or facts.has_date_texts:
        return None
    times = view.beginning_with(dates, facts.time_day.encode())
    if facts.shows_dates:
        midnights = view.at_midnight(np.setdiff1d(dates, times, assume_unique=True) if len(times) else dates)
        if len(midnights) and facts.shows_moments:
            return None
        column = _placed(column, midnights, view.cut_out(midnights, 0, _DAY_BYTES))
    return _replace(column, times, lambda texts: pc.binary_slice(texts.cast(pa.binary()), _DAY_BYTES + 1, 32))


def place_texts(column: pa.Array, texts: dict[int, str]) -> pa.Array:
    """The column with other texts at some of its rows."""
    if not texts:
        return column
    rows = sorted(texts)
    return _placed(column, np.array(rows), pa.array([texts[row] for row in rows], pa.string()))


def last_filled(column: pa.Array, start: int) -> int:
    """Behind the last row, from `start` on, that is neither empty nor null; `start` where there is none."""
    filled = np.flatnonzero(_TextView(column).lengths[start:])
    return start + int(filled[-1]) + 1 if len(filled) else start


class _TextView:
    """The bytes of a column as numpy arrays, without a copy."""

    def __init__(self, column: pa.Array) -> None:
        _, offsets, data = column.buffers()
        kind = np.int64 if column.type == pa.large_string() else np.int32
        found: Any = np.frombuffer(offsets, kind) if offsets is not None and offsets.size else np.zeros(1, kind)
        ends: npt.NDArray[Any] = found[column.offset : column.offset + len(column) + 1]
        self.starts: npt.NDArray[Any] = ends[:-1]
        self.ends: npt.NDArray[Any] = ends[1:]
        self.lengths: npt.NDArray[Any] = self.ends - self.starts
        self._bytes = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)

    def may_hold_numbers(self, *, least_bytes: int) -> bool:
        """Whether a cell begins as a number does, and ends so."""
        return bool(len(self._numbers(least_bytes)))

    def may_hold_noise(self, column: pa.Array) -> bool:
        """Whether a cell may be a number so large that its nine decimals hold more than it has digits."""
        rows = self._numbers(_NOISE_BYTES)
        rows = rows[self._bytes[self.starts[rows] + 4] != ord("-")]  # dates
        if not len(rows):
            return False
        return bool(pc.any(pc.match_substring_regex(column.take(pa.array(rows)), r"^-?\d+\.\d+$")).as_py())

    def _numbers(self, least_bytes: int) -> npt.NDArray[np.intp]:
        rows = np.flatnonzero(self.lengths >= least_bytes)
        first, last = self._bytes[self.starts[rows]], self._bytes[self.ends[rows] - 1]
        found: npt.NDArray[np.intp] = rows[_is_digit(last) & (_is_digit(first) | (first == ord("-")))]
        return found

    def booleans(self) -> npt.NDArray[np.intp]:
        """Rows that are `true` or `false`."""
        found = [self.beginning_with(np.flatnonzero(self.lengths == len(text)), text) for text in (b"true", b"false")]
        return np.sort(np.concatenate(found))

    def dates(self) -> npt.NDArray[np.intp]:
        """Rows that look like a date with a time, of whatever kind their cells are."""
        rows = np.flatnonzero((self.lengths == _DATE_BYTES) | (self.lengths == _DATE_WITH_FRACTION_BYTES))
        for place, mark in _DATE_MARKS:
            rows = rows[self._bytes[self.starts[rows] + place] == mark[0]]
        return rows

    def at_midnight(self, dates: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Those of the rows that have no time of day."""
        whole = dates[self.lengths[dates] == _DATE_BYTES]
        return self._having(whole, b"00:00:00", _DAY_BYTES + 1)

    def beginning_with(self, rows: npt.NDArray[np.intp], text: bytes) -> npt.NDArray[np.intp]:
        """Those of the rows, all at least as long, that begin with a text."""
        return self._having(rows, text, 0)

    def cut_out(self, rows: npt.NDArray[np.intp], start: int, size: int) -> pa.Array:
        """So many bytes of each of the rows from a place on, all of ASCII."""
        cut = np.empty((len(rows), size), np.uint8)
        for place in range(size):
            cut[:, place] = self._bytes[self.starts[rows] + (start + place)]
        ends = np.arange(0, cut.size + 1, size, dtype=np.int32)
        return pa.StringArray.from_buffers(len(rows), pa.py_buffer(ends), pa.py_buffer(cut))

    def _having(self, rows: npt.NDArray[np.intp], text: bytes, start: int) -> npt.NDArray[np.intp]:
        # One character after the other: most rows are out after the first.
        for place, character in enumerate(text, start):
            rows = rows[self._bytes[self.starts[rows] + place] == character]
        return rows


def _is_digit(characters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (characters >= ord("0")) & (characters <= ord("9"))


def _replace(column: pa.Array, rows: npt.NDArray[np.intp], change: Any) -> pa.Array:
    if not len(rows):
        return column
    if len(rows) == len(column):
        return change(column).cast(column.type)
    return _placed(column, rows, change(column.take(pa.array(rows))).cast(column.type))


def _placed(column: pa.Array, rows: npt.NDArray[Any], texts: pa.Array) -> pa.Array:
    if not len(rows):
        return column
    if len(rows) == len(column):
        return texts.cast(column.type)
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), texts.cast(column.type))

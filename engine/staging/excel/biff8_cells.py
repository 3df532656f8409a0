"""The records of XLS, and the cells of a sheet among them that are no texts, as arrays. Pure.

After [MS-XLS], 2.1.4 and 2.4. The records are walked through one by one, which only notes where cells are; what
is in them is taken out with numpy.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.staging.excel.texts import ERROR_CODES

#: Numbers of records.
FORMULA, EOF, MUL_RK, NUMBER, BOOL_ERROR, RK, BOF = 0x0006, 0x000A, 0x00BD, 0x0203, 0x0205, 0x027E, 0x0809
#: Number and size of a record, in front of its content.
HEAD = struct.Struct("<HH")
_PLACE = [("row", "<u2"), ("column", "<u2"), ("style", "<u2")]
_NUMBER_CELL = np.dtype([*_PLACE, ("value", "<f8")])
_RK_CELL = np.dtype([*_PLACE, ("rk", "<u4")])
_RK_IN_ROW = np.dtype([("style", "<u2"), ("rk", "<u4")])
_BOOL_ERROR_CELL = np.dtype([*_PLACE, ("value", "u1"), ("is_error", "u1")])
#: A formula's value is a number, or, where the last of its bytes are these, of the kind that the first one says.
_FORMULA_CELL = np.dtype([*_PLACE, ("kind", "u1"), ("", "u1"), ("value", "u1"), ("", "V3"), ("mark", "<u2")])
_NO_NUMBER = 0xFFFF
_OF_BOOLEAN, _OF_ERROR = 1, 2
#: What a cell shows that is no number: nothing, a boolean, or, from the third on, the error of a code.
FIXED_TEXTS = ("", "FALSE", "TRUE", *(ERROR_CODES.get(code, "#ERROR!") for code in range(256)))
_FIRST_BOOLEAN, _FIRST_ERROR = 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Arrays of one length."""

    rows: npt.NDArray[np.uint16]
    columns: npt.NDArray[np.uint16]
    styles: npt.NDArray[np.uint16]
    values: npt.NDArray[np.float64]
    fixed: npt.NDArray[np.uint16]
    """Of `FIXED_TEXTS`; 0 where the cell is a number."""

    def take(self, places: Any) -> Cells:
        return Cells(
            rows=self.rows[places],
            columns=self.columns[places],
            styles=self.styles[places],
            values=self.values[places],
            fixed=self.fixed[places],
        )


def records(stream: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """Number of each record from a place on, the place of its content, and its size."""
    end, head = len(stream), HEAD.unpack_from
    while place + 4 <= end:
        kind, size = head(stream, place)
        place += 4
        if place + size > end:
            raise ValueError("a record breaks off")
        yield kind, place, size
        place += size


def cells_of(stream: bytes, start: int) -> Cells:
    """The cells of the sheet that starts there; those of what is nested in it are none of its."""
    numbers, rks, rows_of_rks, formulas, others = (array("Q") for _ in range(5))
    take = {
        NUMBER: numbers.append,
        RK: rks.append,
        MUL_RK: rows_of_rks.append,
        FORMULA: formulas.append,
        BOOL_ERROR: others.append,
    }
    if HEAD.unpack_from(stream, start)[0] != BOF:
        raise ValueError("no sheet begins there")
    depth = 0
    for kind, place, _ in records(stream, start):
        if kind in take:
            if depth == 1:
                take[kind](place)
        elif kind == BOF:
            depth += 1
        elif kind == EOF:
            depth -= 1
            if not depth:
                break
    if depth:
        raise ValueError("a sheet breaks off")
    found = [
        _of_numbers(_at(stream, numbers, _NUMBER_CELL)),
        _of_rks(_at(stream, rks, _RK_CELL)),
        _of_rows(stream, rows_of_rks),
        *_of_formulas(stream, formulas),
        _of_others(_at(stream, others, _BOOL_ERROR_CELL)),
    ]
    return Cells(
        rows=np.concatenate([cells.rows for cells in found]),
        columns=np.concatenate([cells.columns for cells in found]),
        styles=np.concatenate([cells.styles for cells in found]),
        values=np.concatenate([cells.values for cells in found]),
        fixed=np.concatenate([cells.fixed for cells in found]),
    )


def _at(stream: bytes, places: array[int] | npt.NDArray[Any], dtype: np.dtype[Any], *, is_whole: bool = True) -> Any:
    """The contents of records, which begin at these places.

    Raises:
        ValueError: one of them is too short.
    """
    found = np.asarray(places, np.int64)
    if not len(found):
        return np.empty(0, dtype)
    if is_whole and (_sizes(stream, found) < dtype.itemsize).any():
        raise ValueError("a cell breaks off")
    # From every byte on a record could begin.
    return np.ndarray(len(stream) - dtype.itemsize + 1, dtype, stream, strides=(1,))[found]


def _sizes(stream: bytes, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    found: Any = np.ndarray(len(stream) - 1, "<u2", stream, strides=(1,))[places - 2]
    return np.asarray(found, np.int64)


def _of_numbers(found: Any) -> Cells:
    return _made(found["row"], found["column"], found["style"], found["value"])


def _of_rks(found: Any) -> Cells:
    return _made(found["row"], found["column"], found["style"], _rk_values(found["rk"]))


def _of_rows(stream: bytes, places: array[int]) -> Cells:
    """Of records of several cells beside each other."""
    starts = np.asarray(places, np.int64)
    counts = (_sizes(stream, starts) - 6) // 6 if len(starts) else starts
    heads = _at(stream, starts, np.dtype(_PLACE[:2]))
    # Row, first column, the cells, last column.
    if (counts < 1).any() or (_sizes(stream, starts) != 6 + 6 * counts).any():
        raise ValueError("a row of cells breaks off")
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found = _at(stream, np.repeat(starts + 4, counts) + 6 * steps, _RK_IN_ROW, is_whole=False)
    columns = np.repeat(heads["column"].astype(np.int64), counts) + steps
    if (columns > 0xFFFF).any():
        raise ValueError("a row that is too long")
    return _made(np.repeat(heads["row"], counts), columns, found["style"], _rk_values(found["rk"]))


def _of_formulas(stream: bytes, places: array[int]) -> list[Cells]:
    """With the values that were saved with them; texts are no concern here."""
    found = _at(stream, places, _FORMULA_CELL)
    is_number = found["mark"] != _NO_NUMBER
    numbers = _at(stream, np.asarray(places, np.int64)[is_number], _NUMBER_CELL)
    return [
        _of_numbers(numbers),
        *(
            _of_others(found[~is_number & (found["kind"] == kind)], is_error=kind == _OF_ERROR)
            for kind in (_OF_BOOLEAN, _OF_ERROR)
        ),
    ]


def _of_others(found: Any, *, is_error: bool | None = None) -> Cells:
    errors = found["is_error"] != 0 if is_error is None else np.full(len(found), is_error)
    fixed = np.where(errors, _FIRST_ERROR + found["value"].astype(np.uint16), _FIRST_BOOLEAN + (found["value"] != 0))
    return _made(found["row"], found["column"], found["style"], np.zeros(len(found)), fixed)


def _made(rows: Any, columns: Any, styles: Any, values: Any, fixed: Any = None) -> Cells:
    return Cells(
        rows=np.asarray(rows, np.uint16),
        columns=np.asarray(columns, np.uint16),
        styles=np.asarray(styles, np.uint16),
        values=np.asarray(values, np.float64),
        fixed=np.zeros(len(rows), np.uint16) if fixed is None else np.asarray(fixed, np.uint16),
    )


def _rk_values(rks: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """Numbers in four bytes: a whole one, or the upper half of a float, and either of them perhaps hundredths."""
    rks = np.ascontiguousarray(rks)
    upper = (rks & ~np.uint32(3)).astype(np.uint64) << np.uint64(32)
    values = np.where(rks & 2, (rks.view(np.int32) >> 2).astype(np.float64), upper.view(np.float64))
    return np.where(rks & 1, values / 100, values)

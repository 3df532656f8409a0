"""The cells of a sheet read one by one, with their types: where a column's text alone leaves doubts."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import python_calamine

from engine.staging.excel.text_bytes import place_texts
from engine.staging.excel.texts import cell_text

#: Rows whose values are Python objects at a time.
_ROWS_AT_A_TIME = 4_096


def read_cells(sheet: python_calamine.CalamineSheet, columns: Sequence[int]) -> dict[int, pa.Array]:
    """Columns as text, an empty text for an empty cell; error cells are empty, too.

    Args:
        sheet: as calamine gives it.
        columns: 0-based, counted from the first column that has a cell.
    """
    found = {column: _Column() for column in columns}
    rows: Iterator[list[Any]] = sheet.iter_rows()
    while batch := list(islice(rows, _ROWS_AT_A_TIME)):
        for index, column in found.items():
            column.add([row[index] for row in batch])
    return {index: column.texts() for index, column in found.items()}


class _Column:
    """The texts of a column.

    The formats of the cells are not known here. A date at midnight is taken to be shown with its time
    of day where another cell of the column has one.
    """

    def __init__(self) -> None:
        self._arrays: list[pa.Array] = []
        self._rows = 0
        self._dates: list[int] = []
        self._has_moments = False

    def add(self, values: list[Any]) -> None:
        kinds = set(map(type, values))
        if datetime.date in kinds:
            self._dates += [self._rows + index for index, value in enumerate(values) if type(value) is datetime.date]
        self._has_moments = self._has_moments or datetime.datetime in kinds
        texts = values if kinds == {str} else [cell_text(value) for value in values]
        self._arrays.append(pa.array(texts, pa.large_string()))
        self._rows += len(values)

    def texts(self) -> pa.Array:
        column = pa.concat_arrays(self._arrays) if self._arrays else pa.array([], pa.large_string())
        if not self._has_moments or not self._dates:
            return column
        dates = column.take(pa.array(self._dates))
        moments = pc.binary_join_element_wise(
            dates, *(pa.scalar(text, pa.large_string()) for text in (" 00:00:00", ""))
        )
        return place_texts(column, np.array(self._dates), moments)

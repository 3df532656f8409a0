"""The cells of a sheet read one by one, with their types: where a column's text alone leaves doubts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import python_calamine

from engine.staging.excel.facts import Facts
from engine.staging.excel.texts import cell_text

#: Rows whose values are Python objects at a time.
_ROWS_AT_A_TIME = 4_096


def read_cells(sheet: python_calamine.CalamineSheet, columns: Sequence[int], facts: Facts) -> dict[int, pa.Array]:
    """Columns as text, an empty text for an empty cell; error cells are empty, too.

    Args:
        sheet: as calamine gives it.
        columns: 0-based, counted from the first column that has a cell.
    """
    found: dict[int, list[pa.Array]] = {column: [] for column in columns}
    first_row, first_column = (0, (sheet.start or (0, 0))[1])
    rows: Iterator[list[Any]] = sheet.iter_rows()
    while batch := list(islice(rows, _ROWS_AT_A_TIME)):
        for column, arrays in found.items():
            place = (first_row, first_column + column)
            arrays.append(pa.array(_texts([row[column] for row in batch], place, facts), pa.large_string()))
        first_row += len(batch)
    return {
        column: pa.concat_arrays(arrays) if arrays else pa.array([], pa.large_string())
        for column, arrays in found.items()
    }


def _texts(values: list[Any], place: tuple[int, int], facts: Facts) -> list[str]:
    if set(map(type, values)) == {str}:
        return values
    keeps_midnight = facts.shows_moments and not facts.shows_dates
    if not facts.midnights:
        return [cell_text(value, keeps_midnight=keeps_midnight) for value in values]
    row, column = place
    return [
        cell_text(value, keeps_midnight=keeps_midnight or (row + index, column) in facts.midnights)
        for index, value in enumerate(values)
    ]

"""Many lines of a result file at once. Pure; what `result_line` would give one at a time.

Here a row comes as its record: its cells joined and quoted, as `format_record` gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.results.csv_format import quote_cell
from engine.results.json_format import SEPARATOR, joined_json, results_json

_BETWEEN_OBJECTS = SEPARATOR + '{"'


def success_lines(records: Sequence[str], results: list[Any]) -> str:
    """Lines with their ends: each record, and its result as JSON in the extra cell.

    Args:
        records: of rows that have cells.
        results: as many.
    """
    joined = joined_json(results)
    # Objects that are not empty need quotes, and they are what nearly all handlers return.
    if joined.startswith('{"') and joined.count(_BETWEEN_OBJECTS) == len(results) - 1:
        cells = joined.replace('"', '""').replace(SEPARATOR, '"\r\n\0,"').split("\0")
        if len(cells) == len(results):
            cells[0] = ',"' + cells[0]
            cells[-1] += '"\r\n'
            pieces = [""] * (2 * len(cells))
            pieces[::2], pieces[1::2] = records, cells
            return "".join(pieces)
    return extra_lines(records, results_json(results))


def extra_lines(records: Sequence[str], extras: Iterable[str]) -> str:
    """Lines with their ends: each record of a row that has cells, and its extra cell."""
    return "".join([f"{record},{quote_cell(text)}\r\n" for record, text in zip(records, extras, strict=True)])

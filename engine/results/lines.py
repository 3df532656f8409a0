"""Many lines of a result file at once. Pure; what `result_line` would give one at a time.

Here a row comes as its record: its cells joined and quoted, as `format_record` gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.results.csv_format import quote_cell
from engine.results.json_format import results_json


def success_lines(records: Sequence[str], results: list[Any]) -> str:
    """Lines with their ends: each record, and its result as JSON in the extra cell.

    Args:
        records: of rows that have cells.
        results: as many.
    """
    texts = results_json(results)
    joined = "\n".join(texts)
    # Objects that are not empty need quotes, and they are what nearly all handlers return.
    if joined.startswith('{"') and joined.count('\n{"') == len(texts) - 1:
        quoted = joined.replace('"', '""').split("\n")
        if len(quoted) == len(texts):
            return "".join([f'{record},"{text}"\r\n' for record, text in zip(records, quoted, strict=True)])
    return extra_lines(records, texts)


def extra_lines(records: Sequence[str], extras: Iterable[str]) -> str:
    """Lines with their ends: each record of a row that has cells, and its extra cell."""
    return "".join([f"{record},{quote_cell(text)}\r\n" for record, text in zip(records, extras, strict=True)])

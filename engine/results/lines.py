"""Many lines of a result file at once. Pure; what `result_line` would give one at a time.

Here a row comes as its record: its cells joined and quoted, as `format_record` gives it, or with
many others as the compiled loops have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.native import RowTexts, loops
from engine.results.csv_format import quote_cell
from engine.results.json_format import SEPARATOR, joined_json, json_array, results_json

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


def success_lines_of_texts(texts: RowTexts, refused: list[int], results: list[Any]) -> bytes:
    """As `success_lines`, of all rows but the refused ones; a row without cells has its result alone in its line.

    Args:
        refused: ascending positions.
        results: of the others.
    """
    assert loops is not None
    if array := json_array(results):
        lines = loops.joined_lines(texts.joined, texts.ends, texts.start, refused, True, array[1:-1], 1)
        if lines is not None:
            return lines
    return lines_of_texts(texts, refused, True, results_json(results))


def refused_lines_of_texts(texts: RowTexts, refused: list[int], messages: list[str]) -> bytes:
    """As `extra_lines`, of the refused rows; a row without cells has its message alone in its line."""
    return lines_of_texts(texts, refused, False, messages) if refused else b""


def lines_of_texts(texts: RowTexts, positions: list[int], are_skipped: bool, extras: list[str]) -> bytes:
    """As `extra_lines`, of the rows at some positions, or of all others."""
    assert loops is not None
    try:
        return loops.result_lines(texts.joined, texts.ends, texts.start, positions, are_skipped, extras)
    except UnicodeEncodeError:
        # As `encode_text` writes halves of surrogate pairs.
        extras = [extra.encode(errors="backslashreplace").decode() for extra in extras]
        return loops.result_lines(texts.joined, texts.ends, texts.start, positions, are_skipped, extras)

"""fastexcel's text of a column of any workbook → its cells as the user sees them, where they can only be texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.staging.excel.text_bytes import TextBytes

_BOOLEANS = (b"true", b"false")


def holds_texts_only(column: pa.Array) -> bool:
    """Whether no cell of the column can be a number, a date, or a boolean, which have to be read one by one.

    Args:
        column: as fastexcel gives it with the type "string": `1`, `2024-02-29 00:00:00`, `true`.
    """
    view = TextBytes(column)
    rows = np.flatnonzero(view.lengths)
    first, last = view.at(rows, 0), view.last(rows)
    # From 0 to 9, by arithmetic that wraps around.
    if ((last - ord("0") < 10) & ((first - ord("0") < 10) | (first == ord("-")))).any():
        return False
    for text in _BOOLEANS:
        same = np.flatnonzero(view.lengths == len(text))
        for place, character in enumerate(text):
            same = same[view.at(same, place) == character]
        if len(same):
            return False
    return True

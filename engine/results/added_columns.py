"""Result files that come back as sources: telling their added column, and rows as they were before it. Pure.

The added cell is the last of its line, also where a row is shorter or longer than the header, so it is
the last cell that is left out. A header tells that a file is ours only where it is positional from the
first name to the last: nobody names columns `col_0, col_1, import_error` by hand. Where result files
keep the source's own names, `import_error` may as well be a column of the user's: there the user says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.results.csv_format import EXTRA_COLUMN, unescape_formula

Choice = Literal["auto", "ignore", "keep"]


def added_column_of(header: Sequence[str], choice: Choice) -> str | None:
    """The name of the column that a result file added, and that is to be left out; None where there is none.

    Args:
        header: the names of a source, its last header row.
        choice: the import option `added_columns`.
    """
    if choice == "keep" or not is_named_as_added(header):
        return None
    is_positional = list(header[:-1]) == [f"col_{index}" for index in range(len(header) - 1)]
    return header[-1] if is_positional or choice == "ignore" else None


def is_named_as_added(header: Sequence[str]) -> bool:
    """Whether the last column is named as one that a result file adds."""
    return bool(header) and header[-1] in EXTRA_COLUMN.values()


def original_row(row: list[str], *, unescape_formulae: bool) -> list[str]:
    """A row of a result file as it was in the source; unless the user corrected it since.

    Args:
        unescape_formulae: whether result files are written with formulae escaped (`csv_format.escape_formula`).
    """
    cells = row[:-1]
    return [unescape_formula(cell) for cell in cells] if unescape_formulae else cells

"""Which sheet, and which part of it, a request is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.errors import OptionError, SourceEmptyError

_AREA = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})?:([A-Z]{1,3})([1-9][0-9]{0,6})?")
#: Names that a message lists at most.
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A rectangle of cells, 0-based and half-open; None: as far as there are cells."""

    first_row: int
    end_row: int | None
    first_column: int
    end_column: int

    @classmethod
    def parse(cls, text: str) -> Area | None:
        """Read `A3:J500` or `A:J`, with or without `$`; None for anything else."""
        found = _AREA.fullmatch(text.replace("$", "").upper())
        if found is None:
            return None
        left, top, right, bottom = found.groups()
        columns = sorted((column_index(left), column_index(right)))
        rows = sorted((int(top), int(bottom))) if top and bottom else [int(top or 1), 0]
        return cls(first_row=rows[0] - 1, end_row=rows[1] or None, first_column=columns[0], end_column=columns[1] + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetName:
    """A worksheet of the workbook, in its order."""

    name: str
    is_visible: bool


def choose_sheet(
    sheets: Sequence[SheetName], wanted: str | int | None, has_cells: Callable[[str], bool], *, source: str
) -> str:
    """The name of the wanted sheet, or of the first visible one that has cells, or else of any that has.

    Args:
        wanted: a name, or a number counted from 1; a number as text is one where no sheet has that name.
        has_cells: asked of one sheet after the other, and not of more than needed.

    Raises:
        OptionError: there is no such sheet; the message lists those there are.
        SourceEmptyError: no sheet has cells.
    """
    if wanted is not None:
        return _named(sheets, wanted, source)
    for sheet in sorted(sheets, key=lambda sheet: not sheet.is_visible):  # stable: visible ones first
        if has_cells(sheet.name):
            return sheet.name
    raise SourceEmptyError(f"{source} is empty: no sheet of it holds a cell ({names_text(sheets)}).", source=source)


def names_text(sheets: Sequence[SheetName]) -> str:
    """The sheets for a message: names in quotes, hidden ones marked."""
    shown = [f'"{sheet.name}"{"" if sheet.is_visible else " (hidden)"}' for sheet in sheets[:_SHOWN_NAMES]]
    more = len(sheets) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def column_index(letters: str) -> int:
    """0-based column of Excel's letters: A is 0, AA is 26."""
    index = 0
    for letter in letters.encode():
        index = index * 26 + letter - 64
    return index - 1


def _named(sheets: Sequence[SheetName], wanted: str | int, source: str) -> str:
    by_name = {sheet.name: sheet.name for sheet in reversed(sheets)}
    folded = {sheet.name.strip().casefold(): sheet.name for sheet in reversed(sheets)}
    found = None
    if isinstance(wanted, str):
        found = by_name.get(wanted) or folded.get(wanted.strip().casefold())
    if found is None and (isinstance(wanted, int) or wanted.isdecimal()) and 0 < int(wanted) <= len(sheets):
        found = sheets[int(wanted) - 1].name
    if found is None:
        raise OptionError(
            f"{source} has no sheet {wanted!r}. Name one of its sheets, or its number counted from 1: "
            f"{names_text(sheets)}.",
            option="sheet",
            sheets=[sheet.name for sheet in sheets],
        )
    return found

"""Where in the cells of a sheet the table is: titles above it, its header, the blank cells around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.staging.excel.text_bytes import last_filled

#: Rows at the top that are looked at for titles and the header.
_TOP_ROWS = 200
#: Rows below a header of several rows by which these are told from data.
_TELLING_ROWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The table in a sheet; rows and columns are 0-based and half-open, counted in what was read."""

    header_records: tuple[tuple[str, ...], ...]
    header_row: int
    """The first row of the header, or of the data where there is none."""
    first_row: int
    end_row: int
    first_column: int
    end_column: int


def lay_out(columns: Sequence[pa.Array], *, skip_rows: int | None, header_rows: int) -> Layout:
    """Find the table.

    Blank rows above it are left out, and so are, where `skip_rows` does not say how many, titles: rows
    with a single cell above a header of names in a table of three columns and more (where the header has
    several rows, which may have been counted with the titles, only if so many rows below them are plainly no
    data). Blank rows at its end and blank columns at its sides are no part of it; blank rows within are rows
    of empty cells.

    Args:
        columns: text, a null or "" for an empty cell; at least one, all of one length.
        skip_rows: rows above the header that are left out, whatever they hold; None: found by looking.
    """
    height = len(columns[0])
    start = min(skip_rows or 0, height)
    top = list(zip(*(column.slice(start, _TOP_ROWS).to_pylist() for column in columns), strict=True))
    blank = next((index for index, row in enumerate(top) if any(row)), 0)
    if skip_rows is None and header_rows > 0:
        found = _header_row(top, blank)
        if header_rows == 1 or _are_names(top[found:], header_rows):
            blank = found
    start += blank
    ends = [last_filled(column, start) for column in columns]
    end_row = max(ends)
    used = [index for index, end in enumerate(ends) if end > start]
    first_column, end_column = (used[0], used[-1] + 1) if used else (0, len(columns))
    first_row = min(start + header_rows, max(end_row, start))
    header = [column.slice(start, first_row - start).to_pylist() for column in columns[first_column:end_column]]
    records = tuple(tuple(cell or "" for cell in row) for row in zip(*header, strict=True))
    return Layout(
        header_records=records,
        header_row=start,
        first_row=first_row,
        end_row=max(end_row, first_row),
        first_column=first_column,
        end_column=end_column,
    )


def _header_row(top: list[tuple[str | None, ...]], start: int) -> int:
    """The row below titles, if the rows at the top begin with some; else `start`.

    A row is only taken for a header below titles where it is at least half as wide as the table and
    holds no number: a row of data must not become one.
    """
    filled = [sum(map(bool, row)) for row in top]
    widest = max(filled, default=0)
    found = next((index for index in range(start, len(filled)) if filled[index] > 1), start)
    names = [cell for cell in top[found] if cell] if widest >= 3 else []
    if 2 * len(names) < widest or any(cell[:1].isdigit() or cell[:1] == "-" for cell in names):
        return start
    return found


def _are_names(rows: Sequence[tuple[str | None, ...]], header_rows: int) -> bool:
    """Whether the first rows can be no data: they hold names in columns that hold only numbers and dates below."""
    header, below = rows[:header_rows], [row for row in rows[header_rows:] if any(row)]
    names = header[-1] if len(header) == header_rows else ()
    used = [index for index, name in enumerate(names) if name]
    typed = [index for index in used if all(_is_typed(row[index]) for row in below)]
    is_named = len(used) >= max((sum(map(bool, row)) for row in below), default=0)
    is_header = not any(_is_typed(row[index]) for row in header for index in typed)
    return len(below) >= _TELLING_ROWS and is_named and bool(typed) and is_header


def _is_typed(cell: str | None) -> bool:
    return cell is not None and (cell[:1].isdigit() or cell[:1] == "-")

"""Blanks and colons, of which texts are full: whether what they cut is a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.readers.dialect.quotes import is_quoted
from engine.readers.sample import SampleRecord

#: In it a colon is no delimiter.
_COLON_TEXT = re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?\b|[A-Za-z]://|\b[A-Za-z]:\\\\|: ")
#: A number, an address: what stands in a column of its own.
_TYPED_WORD = re.compile(r"[+-]?\d[\d.,]*%?|[^\s@]+@[^\s@]+\.\w+|[a-z]+://\S+")
_TIME_WORD = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
_DATE_WORD = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
#: The name of a column.
NAME = re.compile(r"[^\W\d]\w*")
#: So many rows of the same three or more words are no sentences.
_TELLING_ROWS = 3
#: So many of them may have an odd one among them.
_MANY_ROWS = 10
#: Titles and footers, together.
_FEW_AROUND = 3
#: Share of records that must agree on a weak delimiter.
WEAK_SHARE = 0.9


def without_titles_and_footers(records: Sequence[SampleRecord], width: int) -> Sequence[SampleRecord]:
    """The records without titles above and footers below, as far as these are few.

    A title may by chance have as many words as the table has columns: the records above an odd one, among the first
    few, are titles, too, if there are more below it.
    """
    agreeing = [len(record.cells) == width for record in records]
    first = max(
        (
            number + 1
            for number in range(min(_FEW_AROUND, len(agreeing)))
            if not agreeing[number] and sum(agreeing[number:]) > sum(agreeing[:number])
        ),
        default=0,
    )
    first += next((number for number, agrees in enumerate(agreeing[first:]) if agrees), len(records))
    last = len(records) - next((number for number, agrees in enumerate(reversed(agreeing)) if agrees), 0)
    is_few = len(records) - (last - first) <= max(_FEW_AROUND, len(records) // 10)
    return records[first:last] if is_few and last - first > 1 else records


def is_below_one_name(core: Sequence[SampleRecord], table: Sequence[SampleRecord]) -> bool:
    """Whether a single name stands above records that do not begin with a header: it is that of their only column."""
    above = table[: next(number for number, record in enumerate(table) if record is core[0])]
    if not above or len(above[-1].cells) > 1 or not NAME.fullmatch(above[-1].cells[0]):
        return False
    return not all(NAME.fullmatch(cell.strip("\"'")) for cell in core[0].cells)


def is_spaced_table(records: Sequence[SampleRecord], width: int) -> bool:
    """Whether it is no list of names, sentences or moments, by what its columns hold below the header."""
    if 2 * sum(any(cell.endswith((",", ";")) for cell in record.cells) for record in records) > len(records):
        return False  # blanks behind commas separate nothing
    rows = len(records) - 1
    whole = [record.cells for record in records[1:] if len(record.cells) == width]
    if width > 2 and (len(whole) == rows >= _TELLING_ROWS or len(whole) >= max(_MANY_ROWS, WEAK_SHARE * rows)):
        return True
    if all(map(is_quoted, (cell for record in records for cell in record.cells))):
        return True
    if not whole:
        return False
    # A blank at the end of a line, or two in a row, stand around an empty cell, if they do not make the rows ragged.
    if len(whole) == rows >= _TELLING_ROWS and "" not in records[0].cells and any("" in cells for cells in whole):
        return True
    header = records[0].cells
    is_named = len(set(header)) == len(header) == width and all(NAME.fullmatch(name.strip("\"'")) for name in header)
    if (
        width > 2
        and is_named
        and len(whole) == rows
        and any(is_quoted(c) and " " in c for cells in whole for c in cells)
    ):
        return True
    # The last row may be a footer, and the first one the header, below a title.
    return any(_has_typed_column(some, is_named=is_named) for some in (whole, whole[:-1], whole[1:]) if some)


def is_colon_table(records: Sequence[SampleRecord], _width: int) -> bool:
    """Whether most colons belong to no time of day and no address."""
    # What stands in quotes is of no account.
    cells = [["" if is_quoted(cell) else cell for cell in record.cells] for record in records]
    text = "\n".join(map(":".join, cells))
    return _COLON_TEXT.sub("", text).count(":") > 0.5 * text.count(":")


def _has_typed_column(rows: Sequence[list[str]], *, is_named: bool) -> bool:
    """Whether any column holds nothing but numbers, addresses, dates or times; a date with its time is one moment."""
    columns = list(zip(*([cell.strip("\"'") for cell in cells] for cells in rows), strict=True))
    if any(all(map(_TYPED_WORD.fullmatch, column)) for column in columns):
        return True
    are_dates = [all(map(_DATE_WORD.fullmatch, column)) for column in columns]
    are_times = [all(map(_TIME_WORD.fullmatch, column)) for column in columns]
    if any(is_time and not before for before, is_time in zip([False, *are_dates], are_times, strict=False)):
        return True
    return (
        is_named
        and len(rows) >= _TELLING_ROWS
        and any(is_date and not behind for is_date, behind in zip(are_dates, [*are_times[1:], False], strict=True))
    )

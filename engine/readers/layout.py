"""What stands around a table in its text: lines above the header, line ends, a header that is none, a decimal mark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from engine.model import Dialect
from engine.readers.sample import SampleRecord, sample_records

#: Records looked at.
_RECORDS = 300
#: Lines above a header, at most; more are rather data.
_MAX_PREAMBLE_LINES = 60
#: Rows below a header of several rows by which these are told from data.
_TELLING_ROWS = 3
_LINE_END = re.compile(r"\r\n|\n|\r")
_NUMBER = re.compile(r"[+-]?[\d.,' ]*\d ?%?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T].*)?|\d{1,2}:\d\d(?::\d\d)?")
_DECIMALS = {
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+|[+-]?\d+,\d+"),
    ".": re.compile(r"[+-]?\d{1,3}(?:,\d{3})*\.\d+|[+-]?\d+\.\d+"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a sample shows."""

    preamble: tuple[str, ...] = ()
    """Lines above the header that are no part of the table."""
    preamble_confidence: float = 1.0
    width: int = 0
    """The usual number of cells."""
    agreement: float = 0.0
    """Share of the records from the header on that have it; 0.0 where it is one."""
    decimal: str | None = None
    decimal_confidence: float = 0.5
    header_looks_like_data: bool = False
    counted_lines: int = 0
    """Lines that look like no part of the table, but are counted among those of a header of several rows."""
    starts_with_blank: bool = False
    """Whether nearly all cells but the first of each record begin with a blank."""


def describe(text: str, dialect: Dialect, *, is_whole: bool, header_rows: int, skip_rows: int | None) -> Layout:
    """Judge the start of a source.

    Args:
        header_rows: with 0 there is no header, so that nothing can stand above it. Who counts several may have
            counted the lines above it, too: these are left out only where so many rows below them are plainly no data.
        skip_rows: lines above the header, as given; None to find them.
    """
    preamble: tuple[str, ...] = ()
    confidence = 1.0
    if skip_rows:
        ends = list(islice(_LINE_END.finditer(text), skip_rows))
        behind = ends[-1].end() if len(ends) == skip_rows else len(text)
        preamble = tuple(_LINE_END.split(text[:behind])[:skip_rows])
        text = text[behind:]
    records = list(islice(sample_records(text, dialect, is_whole=is_whole), _RECORDS))
    widths = Counter(len(record.cells) for record in records if record.text)
    if not widths:
        return Layout(preamble=preamble)
    width = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))[0]
    start = 0
    counted = 0
    if skip_rows is None and header_rows > 0:
        start, confidence = _header_place(records, width)
        if header_rows > 1 and start and not _are_names(records[start:], header_rows, width):
            counted = sum(record.lines for record in records[:start])
            start, confidence = 0, 0.5
        preamble = tuple(line for record in records[:start] for line in _LINE_END.split(record.text))
    table = [record for record in records[start:] if record.text]
    rows = [[cell.strip(" \"'") for cell in record.cells] for record in table if len(record.cells) == width]
    decimal, decimal_confidence = _decimal(rows)
    others = [cell for record in table for cell in record.cells[1:]]
    return Layout(
        preamble=preamble,
        preamble_confidence=confidence,
        width=width,
        agreement=round(len(rows) / len(table), 3) if width > 1 and table else 0.0,
        decimal=decimal,
        decimal_confidence=decimal_confidence,
        header_looks_like_data=header_rows > 0 and _is_data(rows),
        counted_lines=counted,
        starts_with_blank=bool(others) and sum(cell.startswith(" ") for cell in others) >= 0.9 * len(others),
    )


def line_end(text: str) -> str:
    """The name of the line ends of a sample; "" where there is none."""
    crlf = text.count("\r\n")
    counts = {"CRLF": crlf, "LF": text.count("\n") - crlf, "CR": text.removesuffix("\r").count("\r") - crlf}
    if text.endswith("\r") and not any(counts.values()):
        return "CR"
    found = [name for name, count in counts.items() if count > 0]
    return found[0] if len(found) == 1 else "mixed" if found else ""


def _header_place(records: Sequence[SampleRecord], width: int) -> tuple[int, float]:
    """How many records stand above the header, and how sure that is.

    They are above it only if each has one filled cell at most, is a label with a colon and a value,
    or a sentence, or begins with #; if a record of the usual width follows; and if either a blank line sets them
    apart, or that record cannot be data: a header with a delimiter too few is none of this. What a spreadsheet
    program saves has as many delimiters in its titles as everywhere: then both is asked for.
    """
    first = next(
        (number for number, record in enumerate(records) if len(record.cells) == width and not _is_padded(record)), 0
    )
    above = records[:first]
    if width < 2 or not any(record.text for record in above) or sum(r.lines for r in above) > _MAX_PREAMBLE_LINES:
        return 0, 1.0
    if not all(_is_title(record, width) for record in above):
        return 0, 0.5
    if not any(len(record.cells) == width for record in records[first + 1 :]):
        return 0, 0.5
    cells = [cell.strip(" \"'") for cell in records[first].cells]
    if sum(map(bool, cells)) < 2:
        return 0, 0.5
    if not above[-1].text:
        return first, 0.95
    is_header = all(cells) and len(set(cells)) == width and not any(map(_is_typed, cells))
    return (first, 0.8) if is_header and (width > 2 or all(map(_is_comment, above))) else (0, 0.5)


def _are_names(records: Sequence[SampleRecord], header_rows: int, width: int) -> bool:
    """Whether the first rows can be no data: they hold names in columns that hold only numbers and dates below.

    The last of them, which names the columns, has to be filled throughout.
    """
    rows = [[cell.strip(" \"'") for cell in record.cells] for record in records if record.text]
    header, below = rows[:header_rows], [row for row in rows[header_rows:] if len(row) == width]
    if len(below) < _TELLING_ROWS or any(len(row) != width for row in header):
        return False
    typed = [number for number, column in enumerate(zip(*below, strict=True)) if all(map(_is_typed, column))]
    names = header[-1]
    is_named = all(names) and len(set(names)) == width
    return is_named and bool(typed) and not any(_is_typed(row[number]) for row in header for number in typed)


def _is_title(record: SampleRecord, width: int) -> bool:
    filled = [cell for cell in record.cells if cell.strip(" \"'")]
    if _is_comment(record):
        return len(record.cells) != width or len(filled) < 2
    is_labelled = len(filled) == 2 < width and filled[0].strip(" \"'").endswith(":")
    is_sentence = len(record.cells) < width and all(cell.startswith(" ") for cell in record.cells[1:])
    return len(filled) < 2 or is_labelled or is_sentence


def _is_comment(record: SampleRecord) -> bool:
    return record.text.lstrip(" \"'").startswith("#")


def _is_padded(record: SampleRecord) -> bool:
    """Whether at most its first cell is filled, or a label and its value."""
    first, *others = [cell.strip(" \"'") for cell in record.cells]
    return not any(others[first.endswith(":") :])


def _is_typed(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))


def _is_data(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has numbers and dates in the columns that have nothing else below."""
    if len(rows) < 2:
        return False
    columns = [number for number, column in enumerate(zip(*rows[1:], strict=True)) if all(map(_is_typed, column))]
    return bool(columns) and all(_is_typed(rows[0][number]) for number in columns)


def _decimal(rows: Sequence[Sequence[str]]) -> tuple[str | None, float]:
    counts = {
        mark: sum(pattern.fullmatch(cell) is not None for row in rows for cell in row)
        for mark, pattern in _DECIMALS.items()
    }
    mark = max(counts, key=lambda each: counts[each])
    return (mark, round(counts[mark] / sum(counts.values()), 3)) if counts[mark] else (None, 0.5)

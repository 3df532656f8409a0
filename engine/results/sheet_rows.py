"""Rows of an Excel sheet as XML, every cell a text. Pure.

The same row gives the same XML whichever way it takes. Nearly all rows take the fast one: a piece
of a part in which nothing needs care is escaped as a whole, and each row fills a template.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from xlsxwriter.utility import xl_col_to_name

from engine.errors import OptionError
from engine.results.records import read_records

#: Excel's limits (Microsoft, "Excel specifications and limits").
MAX_SHEET_ROWS = 1_048_576
MAX_SHEET_COLUMNS = 16_384
#: In UTF-16 code units: characters above U+FFFF count twice.
MAX_CELL_UNITS = 32_767
#: A text up to this many characters fits, whatever they are.
_SURELY_FITS = MAX_CELL_UNITS // 2

#: What cannot stand in XML as it is: markup, control characters but tab and newline, two
#: non-characters, and texts that look like Excel's own escape.
_SPECIAL = re.compile(r"[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
#: What Excel would trim at both ends of a text.
_BLANKS = " \t\n"
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_NOT_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")

#: Bytes of UTF-8 that call for care wherever they stand; a carriage return does so inside a cell only.
_CONTROL_BYTES = bytes(byte for byte in range(32) if byte not in b"\t\n\r")
_NON_CHARACTERS = ("\ufffe".encode(), "\uffff".encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRows:
    """Some rows of a sheet."""

    xml: str
    row_count: int
    column_count: int
    """Cells of the widest row."""


def xml_of_records(records: bytes, row_number: int, line_number: int) -> SheetRows:
    """The XML of whole records of a part.

    Args:
        records: one of `records.record_pieces`.
        row_number: where the first of them stands in the sheet, 1-based.
        line_number: where it stands in the whole result, for an error.

    Raises:
        OptionError: a row has more cells than a sheet has columns.
    """
    rows = _plain_rows(records)
    if rows is None:
        return xml_of_rows(list(read_records([records])), row_number, line_number)
    xml = []
    widest = 0
    for number, row in enumerate(rows, row_number):
        column_count = len(row)
        if column_count > widest:
            check_width(row, line_number + number - row_number)
            widest = column_count
        if "" in row:
            names = _column_names(column_count)
            cells = [_plain_cell(name, number, cell) for name, cell in zip(names, row, strict=True) if cell]
            if not row[-1]:
                cells.append(_plain_cell(names[-1], number, ""))
            xml.append(f'<row r="{number}">{"".join(cells)}</row>')
        else:
            xml.append(_template(column_count).replace("\0", str(number)) % tuple(row))
    return SheetRows(xml="".join(xml), row_count=len(rows), column_count=widest)


def xml_of_rows(rows: Sequence[Sequence[str]], row_number: int, line_number: int) -> SheetRows:
    """The XML of rows that are cells already; args and errors as `xml_of_records`.

    Empty cells are left out, as Excel does, but not the last: the row keeps its width. A cell that
    is longer than Excel can hold is cut and ends in a note of how long it was.
    """
    xml = []
    for number, row in enumerate(rows, row_number):
        check_width(row, line_number + number - row_number)
        xml.append(f'<row r="{number}">')
        for name, cell in zip(_column_names(len(row)), row, strict=True):
            if not cell:
                continue
            if len(cell) > _SURELY_FITS:
                cell = cut_cell(cell)
            text = escape_text(cell) if _SPECIAL.search(cell) else cell
            if text[0] in _BLANKS or text[-1] in _BLANKS:
                xml.append(f'<c r="{name}{number}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>')
            else:
                xml.append(_plain_cell(name, number, text))
        if row and not row[-1]:
            xml.append(_plain_cell(xl_col_to_name(len(row) - 1), number, ""))
        xml.append("</row>")
    return SheetRows(xml="".join(xml), row_count=len(rows), column_count=max(map(len, rows), default=0))


def check_width(row: Sequence[str], line_number: int) -> None:
    """Let a row pass that a sheet has the columns for. Raises OptionError."""
    if len(row) > MAX_SHEET_COLUMNS:
        raise OptionError(
            f"Row {line_number:,} of the result has {len(row):,} cells, but an Excel sheet has "
            f"{MAX_SHEET_COLUMNS:,} columns. Ask for output_format csv.",
            option="output_format",
            line_number=line_number,
            column_count=len(row),
        )


def escape_text(text: str) -> str:
    """A cell's text as XML, with control characters in Excel's own form (`_x0001_`)."""
    text = _LOOKS_ESCAPED.sub("_x005F_", text)
    text = _NOT_XML.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut_cell(cell: str) -> str:
    """The cell itself where Excel can hold it; else as much as fits in front of a note that says what is missing."""
    units = cell.encode("utf-16-le")
    if len(units) <= 2 * MAX_CELL_UNITS:
        return cell
    note = f" … [cut: the cell has {len(cell):,} characters]"
    # Half of a surrogate pair at the cut is dropped.
    return units[: 2 * (MAX_CELL_UNITS - len(note))].decode("utf-16-le", errors="ignore") + note


def _plain_rows(records: bytes) -> list[list[str]] | None:
    """The rows with their markup escaped, where no cell needs more care; None where one may."""
    if len(records.translate(None, _CONTROL_BYTES)) != len(records) or b"_x" in records:
        return None
    if any(character in records for character in _NON_CHARACTERS):
        return None
    # Markup has no part in how a record is cut into cells, so it can be escaped first.
    text = records.decode().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:  # a cell beyond its limit
        return None
    lines = list(map("\0".join, rows))
    if max(map(len, lines), default=0) > _SURELY_FITS:
        return None
    cells = "\0".join(["", *lines, ""])
    has_outer_blanks = "\0 " in cells or " \0" in cells
    for blank in _BLANKS[1:]:
        has_outer_blanks = has_outer_blanks or (blank in cells and (f"\0{blank}" in cells or f"{blank}\0" in cells))
    return None if has_outer_blanks or "\r" in cells else rows


def _plain_cell(name: str, number: int, text: str) -> str:
    return f'<c r="{name}{number}" t="inlineStr"><is><t>{text}</t></is></c>'


@lru_cache(maxsize=16)
def _column_names(column_count: int) -> list[str]:
    return [xl_col_to_name(column) for column in range(column_count)]


@lru_cache(maxsize=16)
def _template(column_count: int) -> str:
    """A row to be filled: its number for each NUL, then its cells by `%`."""
    cells = "".join(f'<c r="{name}\0" t="inlineStr"><is><t>%s</t></is></c>' for name in _column_names(column_count))
    return f'<row r="\0">{cells}</row>'

"""An Excel sheet in which every cell is text, written row by row in constant memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

#: Excel's limits (Microsoft, "Excel specifications and limits").
MAX_SHEET_ROWS = 1_048_576
MAX_SHEET_COLUMNS = 16_384
#: In UTF-16 code units: characters above U+FFFF count twice.
MAX_CELL_UNITS = 32_767

_COLUMN_NAMES = [xl_col_to_name(column) for column in range(256)]
#: What cannot stand in XML as it is: markup, control characters but tab and newline, two
#: non-characters, texts that look like Excel's own escape, and outer blanks, which XML would trim.
_SPECIAL = re.compile(r"[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_x[0-9A-Fa-f]{4}_|\A[ \t\n]|[ \t\n]\Z")
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_NOT_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")


class TextWorksheet(Worksheet):  # type: ignore[misc]  # XlsxWriter is untyped for mypy
    """A sheet of texts, for a workbook with `constant_memory`.

    XlsxWriter's own `write_string` has two drawbacks here: it passes a cell that reads
    `<r>…</r>` on as markup, with which a row could break the file, and it takes about ten times as
    long. Everything but the rows is XlsxWriter's.
    """

    def write_text_row(self, row: int, cells: Sequence[str]) -> None:
        """Append a row. Empty cells are left out, as Excel does, but not the last: the row keeps its width.

        Args:
            row: 0-based; rows must come in ascending order, each once.
            cells: at most `MAX_SHEET_COLUMNS`. One that is longer than Excel can hold is cut and
                ends in a note of how long it was.
        """
        number = str(row + 1)
        column_count = len(cells)
        names = _COLUMN_NAMES if column_count <= len(_COLUMN_NAMES) else map(xl_col_to_name, range(column_count))
        xml = [f'<row r="{number}">']
        for name, cell in zip(names, cells, strict=False):
            if not cell:
                continue
            if len(cell) > MAX_CELL_UNITS // 2:
                cell = cut_cell(cell)
            if _SPECIAL.search(cell):
                text = escape_text(cell)
                xml.append(f'<c r="{name}{number}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>')
            else:
                xml.append(f'<c r="{name}{number}" t="inlineStr"><is><t>{cell}</t></is></c>')
        if cells and not cells[-1]:
            xml.append(f'<c r="{xl_col_to_name(column_count - 1)}{number}" t="inlineStr"><is><t></t></is></c>')
        xml.append("</row>")
        self._check_dimensions(row, max(column_count, 1) - 1)
        self.row_data_fh.write("".join(xml))

    def close_temporary_file(self) -> None:
        """Let go of the row file when the workbook is given up."""
        self._opt_close()


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

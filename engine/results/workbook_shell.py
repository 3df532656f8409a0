"""What an Excel file has around its rows, as XlsxWriter makes it. Pure."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from xlsxwriter import Workbook
from xlsxwriter.utility import xl_col_to_name

#: Any fixed date: Excel wants one, and the same rows must give the same file.
_CREATED = datetime.datetime(2000, 1, 1)
_NO_ROWS = b"<sheetData/>"
_NO_DIMENSION = b'<dimension ref="A1"/>'
_SHEET_NAME = re.compile(r"xl/worksheets/sheet([0-9]+)\.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Size of one sheet."""

    row_count: int
    """With the header."""
    column_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellFile:
    """One file of the shell."""

    name: str
    head: bytes
    """The whole file, or what stands before the rows of a sheet."""
    tail: bytes = b""
    sheet_index: int | None = None
    """Which sheet's rows stand between head and tail; None for none."""


def workbook_shell(sheets: Sequence[Sheet], widths: Sequence[float]) -> list[ShellFile]:
    """The files of a workbook whose sheets have no rows yet: the first row frozen, the columns sized.

    Args:
        sheets: at least one; they are named "rows", "rows 2" and so on.
        widths: of the columns, in characters.
    """
    buffer = io.BytesIO()
    workbook = Workbook(buffer, {"in_memory": True})
    workbook.set_properties({"created": _CREATED})
    for index in range(len(sheets)):
        sheet = workbook.add_worksheet(f"rows {index + 1}" if index else "rows")
        sheet.freeze_panes(1, 0)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
    workbook.close()
    with zipfile.ZipFile(buffer) as archive:
        return [_shell_file(name, archive.read(name), sheets) for name in archive.namelist()]


def _shell_file(name: str, data: bytes, sheets: Sequence[Sheet]) -> ShellFile:
    match = _SHEET_NAME.fullmatch(name)
    if match is None:
        return ShellFile(name=name, head=data)
    index = int(match[1]) - 1
    before, rows, after = data.partition(_NO_ROWS)
    head, dimension, rest = before.partition(_NO_DIMENSION)
    if not rows or not dimension:
        raise AssertionError(f"This version of XlsxWriter writes {name} in a form that is not known here.")
    sheet = sheets[index]
    corner = f"{xl_col_to_name(max(sheet.column_count, 1) - 1)}{sheet.row_count}"
    reference = "A1" if corner == "A1" else f"A1:{corner}"
    return ShellFile(
        name=name,
        head=head + f'<dimension ref="{reference}"/>'.encode() + rest + b"<sheetData>",
        tail=b"</sheetData>" + after,
        sheet_index=index,
    )

"""Joining the parts of all chunks, in input order, into one Excel file."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Sequence
from tempfile import TemporaryDirectory

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException

from engine.errors import OptionError, OutputNotWritableError
from engine.model import Part
from engine.results.records import read_records
from engine.results.text_worksheet import MAX_SHEET_COLUMNS, MAX_SHEET_ROWS, TextWorksheet
from engine.storage.protocol import ObjectInfo, Storage

#: Bytes read from a part, and written to the target, at a time.
BLOCK_BYTES = 1024 * 1024

#: Any fixed date: Excel wants one, and the same rows must give the same file.
_CREATED = datetime.datetime(2000, 1, 1)


def merge_xlsx(
    storage: Storage,
    target_key: str,
    header_cells: Sequence[str],
    parts: Iterable[Part],
    temp_dir: str | None,
    *,
    max_sheet_rows: int = MAX_SHEET_ROWS,
) -> ObjectInfo:
    """Make the result file: a frozen header, then the rows of the parts. All or nothing.

    Every cell is text, whatever it looks like. Memory is bounded; the temporary folder takes about
    60 bytes a cell more than the parts, twice. The file depends on the cells alone, so a second
    run makes the same file again; the parts are kept.

    Args:
        header_cells: the names, repeated on every sheet.
        parts: in chunk order, as the ledger names them.
        temp_dir: where the file is put together; None for the system's. Nothing stays there.
        max_sheet_rows: rows of a sheet, header included; a further sheet takes what is more.

    Raises:
        OptionError: a row has more cells than a sheet has columns.
        ObjectMissingError: a part is gone.
        OutputNotWritableError: the storage refuses the target, or the temporary folder is not
            writable or full.
    """
    try:
        with TemporaryDirectory(prefix="rowmill-", dir=temp_dir) as folder:
            path = os.path.join(folder, "result.xlsx")
            _write_workbook(path, folder, header_cells, _rows(storage, parts), max_sheet_rows)
            with open(path, "rb") as file, storage.open_writer(target_key) as writer:
                while block := file.read(BLOCK_BYTES):
                    writer.write(block)
    except (OSError, XlsxWriterException) as error:
        place = temp_dir or "the system's temporary folder"
        raise OutputNotWritableError(
            f"The Excel file cannot be put together in {place}: {error}. "
            "Make room there, choose another folder (ROWMILL_TEMP_DIR), or ask for output_format csv.",
            output=place,
        ) from error
    return storage.stat(target_key)


def _rows(storage: Storage, parts: Iterable[Part]) -> Iterator[list[str]]:
    for part in parts:
        yield from read_records(storage.read_blocks(part.key, 0, part.size_bytes, block_bytes=BLOCK_BYTES))


def _write_workbook(
    path: str, folder: str, header_cells: Sequence[str], rows: Iterable[list[str]], max_sheet_rows: int
) -> None:
    workbook = Workbook(path, {"constant_memory": True, "tmpdir": folder})
    workbook.use_zip64()
    workbook.set_properties({"created": _CREATED})
    sheets: list[TextWorksheet] = []
    try:
        sheet = _add_sheet(workbook, sheets, header_cells)
        row_number = 1
        for line_number, row in enumerate(rows, start=2):
            if row_number == max_sheet_rows:
                sheet = _add_sheet(workbook, sheets, header_cells)
                row_number = 1
            _check_width(row, line_number)
            sheet.write_text_row(row_number, row)
            row_number += 1
        workbook.close()
    finally:
        for sheet in sheets:
            sheet.close_temporary_file()


def _add_sheet(workbook: Workbook, sheets: list[TextWorksheet], header_cells: Sequence[str]) -> TextWorksheet:
    _check_width(header_cells, 1)
    name = f"rows {len(sheets) + 1}" if sheets else "rows"
    sheet: TextWorksheet = workbook.add_worksheet(name, worksheet_class=TextWorksheet)
    sheets.append(sheet)
    sheet.freeze_panes(1, 0)
    sheet.write_text_row(0, header_cells)
    return sheet


def _check_width(row: Sequence[str], line_number: int) -> None:
    if len(row) > MAX_SHEET_COLUMNS:
        raise OptionError(
            f"Row {line_number:,} of the result has {len(row):,} cells, but an Excel sheet has "
            f"{MAX_SHEET_COLUMNS:,} columns. Ask for output_format csv.",
            option="output_format",
            line_number=line_number,
            column_count=len(row),
        )

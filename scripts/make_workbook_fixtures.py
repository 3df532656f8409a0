#!/usr/bin/env python3
"""Make the workbooks of tests/staging/excel/fixtures anew; needs LibreOffice (`soffice`), which tests do not.

Writes `airports`, `flights`, `cells` and `formats` as XLSX by openpyxl, has LibreOffice save them as ODS, XLS
and XLSX, and puts beside them as CSV what a reader must find in them. Names of tables make only those.
"""

from __future__ import annotations

import csv
import datetime
import shutil
import subprocess
import sys
import tempfile
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import airportsdata

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.staging.excel.workbooks import WHOLE, Formatted, expected_text, flight_texts, write_openpyxl  # noqa: E402

FIXTURES = ROOT / "tests" / "staging" / "excel" / "fixtures"
AIRPORTS = 300


def airports() -> list[list[Any]]:
    """Codes, names in many scripts, decimals, and a time zone."""
    fields = ["icao", "iata", "name", "city", "elevation", "lat", "lon", "tz"]
    found = sorted(airportsdata.load("ICAO").values(), key=lambda airport: airport["icao"])
    rows = [[airport[field] for field in fields] for airport in found[:: len(found) // AIRPORTS]]
    return [
        fields,
        *[[Decimal(str(cell)) if isinstance(cell, float) else cell or None for cell in row] for row in rows],
    ]


def cells() -> list[list[Any]]:
    """A column of each kind, one of all of them, and blank rows."""
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 13, 5, 7)
    header = ["text", "number", "flag", "day", "moment", "time", "duration", "error", "mixed"]
    rows = [
        ["007", 1, True, day, moment, datetime.time(13, 5), datetime.timedelta(hours=36), "#N/A", day],
        ["true", Decimal("2.5"), False, day, moment, datetime.time(23, 59, 59), datetime.timedelta(minutes=5), None, 1],
        ["two\nlines", Decimal("-0.125"), True, datetime.date(1999, 12, 31), moment, None, None, "#DIV/0!", True],
        [None] * 9,
        ["ü 漢 😀", 10**15, None, None, None, None, None, None, "text"],
        [" x ", Decimal("64.6"), None, None, None, None, None, None, datetime.time(1, 2, 3)],
    ]
    return [header, *rows]


def formats() -> list[list[Any]]:
    """Percentages, decimals, and dates with a time of day of which some are at midnight."""
    rows: list[list[Any]] = [["percent", "whole percent", "decimals", "moment"]]
    for hour, value in enumerate(("0.125", "-0.5", "1", "0.12345", "0", "12.34")):
        number = Decimal(value)
        moment = datetime.datetime(2024, 2, 29, hour % 3)
        rows.append([Formatted(number, "0.00%"), Formatted(number, "0%"), Formatted(number, "0.00"), moment])
    return rows


def flights() -> list[list[Any]]:
    """Every thousandth flight that left New York in 2013, its hour as a date with a time of day."""
    found = flight_texts()
    rows: list[list[Any]] = [next(found)]
    for texts in islice(found, 0, None, 1_000):
        cells: list[Any] = [int(float(text)) if WHOLE.fullmatch(text) else text or None for text in texts]
        cells[-1] = datetime.datetime.fromisoformat(texts[-1]).replace(tzinfo=None)
        rows.append(cells)
    return rows


TABLES = {"airports": airports, "flights": flights, "cells": cells, "formats": formats}


def main() -> None:
    """Write the files."""
    FIXTURES.mkdir(exist_ok=True)
    program = shutil.which("soffice") or sys.exit("LibreOffice is not installed.")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or TABLES:
            rows = TABLES[name]()
            with open(FIXTURES / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([expected_text(cell) for cell in row] for row in rows)
            xlsx = write_openpyxl(Path(folder) / f"{name}.xlsx", rows)
            for kind in ("ods", "xls", "xlsx"):
                subprocess.run([program, "--headless", "--convert-to", kind, "--outdir", FIXTURES, xlsx], check=True)


if __name__ == "__main__":
    main()

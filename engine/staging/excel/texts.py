"""One cell's value as the user sees it. Pure."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

#: Whole numbers below it are exact as floats, and `repr` writes them without an exponent.
_EXACT_LIMIT = 10**16
#: What calamine calls an error → what Excel shows.
ERROR_TEXTS = {
    "Div0": "#DIV/0!",
    "NA": "#N/A",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Value": "#VALUE!",
    "GettingData": "#GETTING_DATA",
}
#: What stands for an error in the records of XLS and XLSB → what Excel shows.
ERROR_CODES = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}


def cell_text(value: Any) -> str:
    """A value that python-calamine gives, as text.

    Numbers are in plain digits (`number_text`); dates are `2024-02-29`, with a time of day
    `2024-02-29 13:05:00`, times `13:05:00` and durations `36:00:00` (hours go on beyond 24), each with
    three decimals where they have a fraction of a second.
    """
    match value:
        case str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return number_text(value)
        case datetime():
            return f"{value:%Y-%m-%d} {_clock(value)}" if value.year >= 1000 else value.isoformat(" ")
        case date():
            return value.isoformat()
        case time():
            return _clock(value)
        case timedelta():
            return duration_text(value)
    return "" if value is None else str(value)


def number_text(value: float) -> str:
    """A number in plain digits: `1` for 1.0, `0.0000001` for 1e-7, and zeros behind the digits of a huge one.

    Spreadsheets show 15 digits, and writers store 16: 64.6 is stored as 64.59999999999999. A number
    that 16 digits cannot tell from one of 15 is that one; of any other all digits are kept.
    """
    if value.is_integer() and abs(value) < _EXACT_LIMIT:
        return str(int(value))
    text = f"{value:.15g}"
    short = float(text)
    # Most that differ do so by more than 16 digits could hide, which is seen without writing them.
    if short != value and (abs(short - value) > abs(value) * 1.01e-15 or f"{short:.16g}" != f"{value:.16g}"):
        text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def duration_text(value: timedelta) -> str:
    """Hours, minutes, seconds: `36:00:00`, `-00:05:00`, `00:00:00.500`."""
    sign, microseconds = "", value // timedelta(microseconds=1)
    if microseconds < 0:
        sign, microseconds = "-", -microseconds
    seconds, microseconds = divmod(microseconds, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{_fraction(microseconds)}"


def _clock(value: datetime | time) -> str:
    return f"{value:%H:%M:%S}{_fraction(value.microsecond)}"


def _fraction(microseconds: int) -> str:
    if not microseconds:
        return ""
    return f".{microseconds // 1000:03d}" if microseconds % 1000 == 0 else f".{microseconds:06d}"

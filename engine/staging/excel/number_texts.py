"""The numbers of many cells, as they stand in a workbook's XML, as their user sees them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.staging.excel.number_formats import NumberFormat
from engine.staging.excel.text_bytes import TextBytes, place_texts
from engine.staging.excel.texts import duration_text, number_text

_DAY_MS = 86_400_000
#: A number of so many characters has no more digits than spreadsheets show.
_SURE_CHARACTERS = 15
#: A number of 15 digits at most that is shown with these.
_AS_IT_STANDS = re.compile(r"(?=[-.0-9]{1,15}$)(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])")
#: Floats below it that are whole have no more digits than these.
_END_WHOLE = 1e15
#: Numbers that are changed one by one rather than looked at as columns, which has a price by itself.
_FEW_NUMBERS = 1_000
#: Excel's days count from here on in 1904's system, and from March 1900 on in the usual one, which has a 29th of
#: February 1900 as its day 60.
_EPOCH_DAYS = {True: -24_107, False: -25_569}
_LEAP_DAY_1900 = 60
#: Days behind the last of the year 9999.
_END_DAY = {True: 2_957_004, False: 2_958_466}


def raw_numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """Numbers as texts that `shown_numbers` takes: every digit of them, whole ones without a point."""
    is_whole = (np.rint(values) == values) & (np.abs(values) < _END_WHOLE)
    if is_whole.all():
        return pa.array(values.astype(np.int64)).cast(pa.string())
    rows = np.flatnonzero(is_whole)
    texts = pa.array(values).cast(pa.string())
    return place_texts(texts, rows, pa.array(values[rows].astype(np.int64)).cast(pa.string()))


def shown_numbers(raw: pa.Array, format_: NumberFormat | None, *, is_1904: bool) -> pa.Array:
    """The texts of numbers under one format.

    Args:
        raw: texts such as `1`, `0.5`, `1E-7`; an empty one stays empty.
        is_1904: whether days count from 1904 on.

    Raises:
        ValueError: one of them is no number.
    """
    if format_ is None:
        return plain_numbers(raw)
    match format_.shows:
        case "percent":
            return _each(raw, lambda text: percent_text(text, format_.decimals))
        case "number":
            return _with_decimals(plain_numbers(raw), format_.decimals)
    return _dates(raw, format_.shows, is_1904=is_1904)


def plain_numbers(raw: pa.Array) -> pa.Array:
    """Numbers in plain digits, see `number_text`; most of them are as they stand."""
    if len(raw) <= _FEW_NUMBERS:
        return _each(raw, lambda text: number_text(float(text)))
    view = TextBytes(raw)
    doubtful = view.lengths > _SURE_CHARACTERS
    filled = np.flatnonzero(view.lengths)
    first, last = view.at(filled, 0), view.last(filled)
    doubtful[filled[(first < ord("1")) | (first > ord("9")) | (last == ord("0")) | (last == ord("."))]] = True
    for mark in "eE":
        doubtful |= np.asarray(pc.match_substring(raw, mark))
    rows = np.flatnonzero(doubtful & (view.lengths > 0))
    if not len(rows):
        return raw
    found = raw.take(pa.array(rows))
    # `0`, `0.25`, `-3.5`, `100`: without a check by one regular expression, half of all columns would be converted.
    is_plain = np.asarray(pc.match_substring_regex(found, r"^-?(?:0|[1-9][0-9]{0,14})$|^-?0\.[0-9]{0,13}[1-9]$"))
    is_plain |= np.asarray(pc.match_substring_regex(found, r"^-?[1-9][0-9]{0,5}\.[0-9]{0,7}[1-9]$"))
    is_plain &= ~np.asarray(pc.equal(found, "-0"))
    rows = rows[~is_plain]
    if not len(rows):
        return raw
    return place_texts(raw, rows, _each(raw.take(pa.array(rows)), lambda text: number_text(float(text))))


def percent_text(text: str, decimals: int) -> str:
    """A number as a percentage, with so many decimals at least: `12.50%` for 0.125 and 2.

    Raises:
        ValueError: it is no number.
    """
    if _AS_IT_STANDS.fullmatch(text) is None:
        text = number_text(float(text))
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, behind = digits.partition(".")
    whole = (whole + behind[:2].ljust(2, "0")).lstrip("0") or "0"
    behind = behind[2:].rstrip("0").ljust(decimals, "0")
    return f"{sign}{whole}.{behind}%" if behind else f"{sign}{whole}%"


def _each(raw: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Each different text changed once."""
    different = raw.dictionary_encode()
    texts = pa.array([change(text) if text else text for text in different.dictionary.to_pylist()], pa.string())
    return texts.take(different.indices)


def _with_decimals(texts: pa.Array, decimals: int) -> pa.Array:
    """Zeros behind the digits, so that there are so many decimals at least."""
    lengths = TextBytes(texts).lengths
    points = np.asarray(pc.find_substring(texts, "."))
    missing = np.where(points < 0, decimals + 1, np.maximum(0, decimals - (lengths - 1 - points)))
    missing[lengths == 0] = 0
    zeros = pa.array([*("0" * count for count in range(decimals + 1)), "." + "0" * decimals])
    return pc.binary_join_element_wise(texts, zeros.take(pa.array(missing)), "")


def _dates(raw: pa.Array, shows: str, *, is_1904: bool) -> pa.Array:
    view = TextBytes(raw)
    rows = np.flatnonzero(view.lengths)
    if len(rows) < len(raw):
        found = _dates(raw.take(pa.array(rows)), shows, is_1904=is_1904) if len(rows) else pa.array([], pa.string())
        return place_texts(raw, rows, found)
    days: npt.NDArray[np.float64] = np.asarray(raw.cast(pa.float64()))
    known = (days > -_END_DAY[False]) & (days < _END_DAY[is_1904])
    milliseconds = np.rint(np.where(known, days, 0) * _DAY_MS).astype(np.int64)
    if shows == "duration":
        if known.all():
            return _durations(milliseconds)
        return place_texts(plain_numbers(raw), np.flatnonzero(known), _durations(milliseconds[known]))
    known &= milliseconds >= 0
    # A time alone; in the usual system there is no date that it could be the time of.
    is_time = known & (milliseconds < _DAY_MS) if shows == "time" or not is_1904 else np.zeros(len(days), bool)
    is_date = known & ~is_time
    texts = plain_numbers(raw) if not known.all() else raw
    texts = place_texts(texts, np.flatnonzero(is_time), _clocks(milliseconds[is_time]))
    dates = _moments(milliseconds[is_date], is_1904=is_1904, always_with_time=shows != "date")
    return place_texts(texts, np.flatnonzero(is_date), dates)


def _durations(milliseconds: npt.NDArray[np.int64]) -> pa.Array:
    import datetime

    different, places = np.unique(milliseconds, return_inverse=True)
    texts = [duration_text(datetime.timedelta(milliseconds=int(value))) for value in different]
    return pa.array(texts, pa.string()).take(pa.array(places))


def _clocks(milliseconds: npt.NDArray[np.int64]) -> pa.Array:
    values = milliseconds.astype(np.int32)
    fractions = np.flatnonzero(values % 1000)
    texts = pa.array(values // 1000, pa.time32("s")).cast(pa.string())
    return place_texts(texts, fractions, pa.array(values[fractions], pa.time32("ms")).cast(pa.string()))


def _moments(milliseconds: npt.NDArray[np.int64], *, is_1904: bool, always_with_time: bool) -> pa.Array:
    days = milliseconds // _DAY_MS
    unix = milliseconds + _EPOCH_DAYS[is_1904] * _DAY_MS
    leap: npt.NDArray[Any] = np.zeros(0, np.intp)
    if not is_1904:
        unix[days < _LEAP_DAY_1900] += _DAY_MS
        leap = np.flatnonzero(days == _LEAP_DAY_1900)
    whole, in_day = unix // 1000, unix % _DAY_MS
    texts = pa.array(whole, pa.timestamp("s")).cast(pa.string())
    fractions = np.flatnonzero(unix % 1000)
    texts = place_texts(texts, fractions, pa.array(unix[fractions], pa.timestamp("ms")).cast(pa.string()))
    if not always_with_time:
        midnights = np.flatnonzero(in_day == 0)
        dates = pa.array((unix[midnights] // _DAY_MS).astype(np.int32), pa.date32()).cast(pa.string())
        texts = place_texts(texts, midnights, dates)
    if len(leap):  # a day that no calendar but Excel's has
        texts = place_texts(texts, leap, pc.replace_substring(texts.take(pa.array(leap)), "1900-02-28", "1900-02-29"))
    return texts

"""What a number format makes of a number: a date, a time, a percentage, or a number. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: Number formats that every workbook has, by what they show.
_BUILT_IN_DATES = frozenset({14, 15, 16, 17, *range(27, 32), 36, *range(50, 55), 57, 58})
_BUILT_IN_MOMENTS = frozenset({22})
_BUILT_IN_TIMES = frozenset({18, 19, 20, 21, *range(32, 36), 45, 47, 55, 56})
_BUILT_IN_DURATIONS = frozenset({46})
_BUILT_IN_CODES = {2: "0.00", 9: "0%", 10: "0.00%"}
#: What a format shows as it stands, and marks such as a colour, which show nothing.
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_DECIMALS = re.compile(r"0(?:\.(0+))?(%?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """How a number is shown."""

    shows: Literal["date", "moment", "time", "duration", "percent", "number"]
    """A moment is a date with a time of day; a duration goes on beyond a day."""
    decimals: int = 0
    """Digits behind the point, at least, of a number or a percentage."""


def number_format(number: int, code: str | None) -> NumberFormat | None:
    """What a format shows; None where a number is shown as under `General`, as far as this engine goes.

    Thousands separators and currencies are left out, since what they look like depends on the reader's
    country, and no format cuts digits.

    Args:
        number: the format's number, `numFmtId`.
        code: as `0.00%`; None: that of the built-in format of this number.
    """
    if code is None:
        for shows, numbers in (
            ("date", _BUILT_IN_DATES),
            ("moment", _BUILT_IN_MOMENTS),
            ("time", _BUILT_IN_TIMES),
            ("duration", _BUILT_IN_DURATIONS),
        ):
            if number in numbers:
                return NumberFormat(shows=shows)  # type: ignore[arg-type]
        return _of_decimals(_BUILT_IN_CODES.get(number, ""))
    if (found := _of_decimals(code)) is not None:
        return found
    plain = _LITERALS.sub("", code).partition(";")[0].lower()
    if _ELAPSED.search(plain):
        return NumberFormat(shows="duration")
    has_time = "h" in plain or "s" in plain
    if "y" in plain or "d" in plain or ("m" in plain and not has_time):
        return NumberFormat(shows="moment" if has_time else "date")
    return NumberFormat(shows="time") if has_time else None


def _of_decimals(code: str) -> NumberFormat | None:
    found = _DECIMALS.fullmatch(code)
    if found is None:
        return None
    decimals = len(found[1] or "")
    if found[2]:
        return NumberFormat(shows="percent", decimals=decimals)
    return NumberFormat(shows="number", decimals=decimals) if decimals else None

"""Generated CSVs whose dialect is known: every delimiter, quote and escape, polluted in every way, of several sizes.

The same seed gives the same corpus. A text says nothing of its maker but what a user's file would.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

DELIMITERS = [",", ";", "\t", "|", "^", "~", ":", " ", ", "]
SIZES = [1, 2, 3, 20, 400]
POLLUTIONS = [
    *("none", "none", "title", "footer", "short row"),
    *("long row", "stray quote", "blank lines", "other row", "late"),
]
_FIRST = ("Ada", "Bob", "Chloé", "Dörte", "Emil", "Fatima", "Grace", "Håkan", "Inés", "Jörg", "Kate", "Łukasz", "Noël")
_LAST = ("Adams", "O'Neil", "Müller", "Smith-Jones", "García", "Nguyễn", "Brown", "Fischer", "Rossi", "Novák", "Silva")
_CITY = ("Bonn", "Ulm", "Paris", "London", "Lyon", "Porto", "Gent", "Oslo", "Wien", "Bern", "Köln", "Nice", "Graz")
_WORDS = ("red", "green", "blue", "small", "large", "quick", "late", "early", "paid", "open", "urgent", "heavy")


@dataclass(frozen=True)
class Sample:
    """One file with what is true of it."""

    text: str
    delimiter: str
    quote: str
    escape: str
    pollution: str
    size: int
    rows: list[list[str]]
    """Those that are not polluted."""


def corpus(count: int, seed: int = 1) -> Iterator[Sample]:
    """Yield that many samples."""
    rng = random.Random(seed)  # noqa: S311 - a corpus, no secret
    made = 0
    while made < count:
        sample = _sample(rng)
        if sample is not None:
            made += 1
            yield sample


def _sample(rng: random.Random) -> Sample | None:
    delimiter, size, pollution = rng.choice(DELIMITERS), rng.choice(SIZES), rng.choice(POLLUTIONS)
    quote = rng.choice(['"', '"', '"', "'"])
    escape = rng.choice(["double", "double", "backslash", "none"])
    quoting: Literal[0, 1, 2, 3]
    quoting = csv.QUOTE_NONE if escape == "none" else rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    if pollution in ("late", "stray quote", "other row", "short row", "long row") and size < 20:
        pollution = "none"
    table = _table(rng, size, comma_decimals=delimiter.strip() not in ("", ","))
    if pollution == "late":
        table = [row if number > 250 else [_plain(cell, delimiter) for cell in row] for number, row in enumerate(table)]
    if quoting == csv.QUOTE_NONE:
        table = [[_plain(cell, delimiter) for cell in row] for row in table]
    end = rng.choice(["\n", "\r\n", "\r\n", "\r"])
    lines = [_line(row, delimiter, quote, escape, quoting) for row in table]
    if (
        escape == "backslash"
        and any("\\" in line for line in lines)
        and not any("\\" + quote in line for line in lines)
    ):
        return None  # nothing in it tells a doubled backslash from two
    rows, lines = _polluted(rng, pollution, table, lines, delimiter)
    return Sample(end.join(lines) + rng.choice([end, end, ""]), delimiter, quote, escape, pollution, size, rows)


def _plain(cell: str, delimiter: str) -> str:
    return "".join(character for character in cell if character not in f"{delimiter}\"'\\\r\n")


def _line(row: list[str], delimiter: str, quote: str, escape: str, quoting: Literal[0, 1, 2, 3]) -> str:
    line = io.StringIO()
    writer = csv.writer(
        line,
        delimiter=delimiter[0],
        quotechar=quote,
        quoting=quoting,
        doublequote=escape == "double",
        escapechar="\\" if escape == "backslash" else None,
    )
    if delimiter == ", ":
        pieces = []
        for cell in row:
            line.seek(0)
            line.truncate()
            writer.writerow([cell, ""] if quoting != csv.QUOTE_ALL else [cell])
            text = line.getvalue().removesuffix("\r\n")
            pieces.append(text if quoting == csv.QUOTE_ALL else text[:-1])
        return ", ".join(pieces)
    writer.writerow(row)
    return line.getvalue().removesuffix("\r\n")


def _table(rng: random.Random, size: int, *, comma_decimals: bool) -> list[list[str]]:
    day = date(2024, 1, 1)

    def number(digits: int) -> str:
        text = f"{rng.uniform(1, 10**digits):.2f}"
        return text.replace(".", ",") if comma_decimals else text

    makers = {
        "id": lambda: str(rng.randint(1, 99999)),
        "name": lambda: f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
        "city": lambda: rng.choice(_CITY),
        "amount": lambda: number(4),
        "weight": lambda: number(2),
        "day": lambda: (day + timedelta(days=rng.randint(0, 700))).isoformat(),
        "time": lambda: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}",
        "email": lambda: f"{rng.choice(_FIRST).lower()}@example.com",
        "url": lambda: f"https://example.com/?a={rng.randint(1, 9)}&b={rng.choice(_WORDS)}",
        "tags": lambda: ",".join(rng.choices(_WORDS, k=rng.randint(1, 4))),
        "remark": lambda: _remark(rng),
        "flag": lambda: rng.choice(["true", "false"]),
        "empty": lambda: rng.choice(["", "", "x"]),
    }
    names = rng.sample(list(makers), k=rng.randint(2, 8))
    return [names, *([makers[name]() for name in names] for _ in range(size))]


def _remark(rng: random.Random) -> str:
    words = " ".join(rng.choices(_WORDS, k=rng.randint(1, 7)))
    sentences = [f"{words}, {words}", f"{words}; {words}", f"{words}: {words}", f'the "{words}" one', f"it's {words}"]
    others = [f'{words} 5" pipe', f"C:\\{words.replace(' ', chr(92))}", f"{words}\n{words}"]
    return rng.choice([words, words, *sentences, *others])


def _polluted(
    rng: random.Random, pollution: str, table: list[list[str]], lines: list[str], delimiter: str
) -> tuple[list[list[str]], list[str]]:
    """The rows that stay whole, and the lines with the pollution."""
    place = rng.randrange(1, len(lines))
    others = [row for number, row in enumerate(table) if number != place]
    if pollution == "title":
        return table, ["Report of 2024, all regions", "made by hand", "", *lines]
    if pollution == "footer":
        return table, [*lines, f"Total{delimiter}123"]
    if pollution == "blank lines":
        return table, [*lines[:place], "", *lines[place:], ""]
    if pollution == "short row":
        return others, [*lines[:place], delimiter.join(["x"] * (len(table[0]) - 1)), *lines[place + 1 :]]
    if pollution == "long row":
        return others, [*lines[:place], delimiter.join(["x"] * (len(table[0]) + 1)), *lines[place + 1 :]]
    if pollution == "stray quote":
        return others, [*lines[:place], delimiter.join(['5" x', *["x"] * (len(table[0]) - 1)]), *lines[place + 1 :]]
    if pollution == "other row":
        other = ";" if delimiter != ";" else ","
        return others, [*lines[:place], other.join(["x"] * len(table[0])), *lines[place + 1 :]]
    return table, lines

"""The table that all cases read, and the handler that all of them call.

Ten columns: id, first, last, email, phone, amount, date, country, note, flag. Two in a hundred emails have no @; one
note in ten is quoted, for a comma, a doubled quote or a newline in it. Seeded, so that every run reads the same.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

HEADER = ["id", "first", "last", "email", "phone", "amount", "date", "country", "note", "flag"]
_FIRST = ("Amélie", "Bao", "Carlos", "Deniz", "Ebba", "Farid", "Gita", "Hugo", "Ines", "Jørgen", "Keiko", "Luca")
_LAST = ("Adeyemi", "Brontë", "Castillo", "D'Souza", "Eriksen", "Fischer", "Gonzalez", "Hashimoto", "Ivanova", "Jansen")
_COUNTRIES = ("AR", "BE", "CA", "DK", "ES", "FI", "GR", "HU", "IE", "JP")
_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima")

#: A sleep is some 60 µs at least, so that a wait is one for many rows.
_ROWS_PER_WAIT = 100


def rows(count: int, *, seed: int = 20_261_123) -> Iterator[list[str]]:
    """The data rows."""
    choice = random.Random(seed)  # noqa: S311 - data, not secrets
    first_day = date(2014, 1, 1)
    for number in range(1, count + 1):
        words = choice.choices(_WORDS, k=4)
        kind = choice.randrange(100)
        if kind < 4:
            note = f"{words[0]}, {' '.join(words[1:])}"
        elif kind < 7:
            note = f'she said "{words[0]}" and {words[1]}'
        elif kind < 10:
            note = f"{words[0]}\n{' '.join(words[1:])}"
        else:
            note = " ".join(words)
        at = "@" if choice.randrange(100) >= 2 else " at "
        yield [
            str(number),
            choice.choice(_FIRST),
            choice.choice(_LAST),
            f"person{number}{at}example.org",
            f"+49-30-{choice.randrange(10**7):07d}",
            f"{choice.randrange(10**6) / 100:.2f}",
            (first_day + timedelta(choice.randrange(4_000))).isoformat(),
            choice.choice(_COUNTRIES),
            note,
            "true" if choice.randrange(2) else "false",
        ]


def write_table(path: Path, count: int) -> None:
    """Write the table, unless one of that name is there."""
    if path.exists():
        return
    with path.with_suffix(".part").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows(count))
    path.with_suffix(".part").rename(path)


def check_email(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The handler of every case: cheap, as the question is what is around it."""
    if "@" not in row[3]:
        return {"ok": False, "error": "Invalid email format"}
    return {"ok": True, "result": {"id": row_index}}


def check_email_slowly(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """The same, waiting for something else `row_microseconds` a row."""
    if row_index % _ROWS_PER_WAIT == 0:
        time.sleep(_ROWS_PER_WAIT * float(options["row_microseconds"]) / 1_000_000)
    return check_email(row_index, row, import_job_id, options)


def refused(count: int) -> int:
    """How many of the first rows `check_email` refuses."""
    return sum("@" not in row[3] for row in rows(count))

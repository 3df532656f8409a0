"""Runs cases in turn, round after round, and gathers what they took."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import generate, people
from benchmarks.cases import Case, Setting
from benchmarks.measure import CaseFailedError, Measurement, base_environment, run
from benchmarks.report import CaseResult
from benchmarks.services import ROOT, Services
from tests.services import ServiceStartError, ServiceUnavailableHereError

Tell = Callable[[str], None]


def run_cases(
    cases: Sequence[Case],
    sizes: Sequence[int],
    folder: Path,
    services: Services,
    *,
    rounds: int,
    model_rows: int = 10_000,
    seconds_per_case: float = math.inf,
    tell: Tell = lambda line: print(line, file=sys.stderr, flush=True),
    keep: Callable[[list[CaseResult]], None] = lambda _results: None,
) -> list[CaseResult]:
    """Measure each case at each size.

    Args:
        sizes: rows of the tables.
        folder: for what cases write.
        rounds: counted runs of each case, after one that is not counted. In a round the cases run one after the other,
            so that a slow minute of the machine falls on all of them.
        model_rows: rows of the cases that fill a model, which are slow, at every size.
        seconds_per_case: a case that has taken so many at a size is not run again; if its first run has taken a third
            of them, that is not a warm-up but counts. At least one run counts.
        keep: is given all results so far whenever a table is through.
    """
    run_size = partial(
        _run_size, folder=folder, services=services, rounds=rounds, seconds_per_case=seconds_per_case, tell=tell
    )
    results: list[CaseResult] = []
    people_cases = [case for case in cases if case.table == "people"]
    for rows in sizes:
        table, refused = generate.people_csv(rows), people.refused(rows)
        chosen = [case for case in people_cases if rows <= case.max_rows and case.group != "model"]
        results += run_size(chosen, rows, table, refused)
        keep(results)
    flights = [case for case in cases if case.table == "flights"]
    if flights and (flights_table := generate.flights_csv()) is not None:
        rows, refused = generate.count_flights()
        results += run_size(flights, rows, flights_table, refused)
        keep(results)
    models = [case for case in cases if case.group == "model"]
    for rows in sorted({min(model_rows, case.max_rows) for case in models}):
        chosen = [case for case in models if min(model_rows, case.max_rows) == rows or case.max_rows > rows]
        table, refused = generate.people_csv(rows), people.refused(rows)
        results += run_size(chosen, rows, table, refused)
    return results


def _run_size(
    cases: Sequence[Case],
    rows: int,
    table: Path,
    refused: int,
    *,
    folder: Path,
    services: Services,
    rounds: int,
    seconds_per_case: float,
    tell: Tell,
) -> list[CaseResult]:
    excel = table.with_suffix(".xlsx")
    if any("XLSX to" in case.name or "fastexcel" in case.name for case in cases):
        excel = generate.people_xlsx(rows)
    excel_shared = table.with_suffix(".shared.xlsx")
    if any("shared strings" in case.name for case in cases):
        excel_shared = generate.people_xlsx(rows, shared_strings=True)
    # Each run has a place of its own: Celery workers know the ledgers they have worked for by their path, and took part
    # in local runs that had one at the same place, unseen by the clock of the processor.
    outputs = (folder / f"output-{rows}-{number}" for number in count())
    measured: dict[str, dict[int, Measurement]] = {case.name: {} for case in cases}
    taken: dict[str, float] = dict.fromkeys(measured, 0.0)
    problems: dict[str, str] = {}
    for case in cases:
        if missing := case.missing():
            problems[case.name] = f"not installed: {', '.join(missing)}"
    for number in range(rounds + 1):
        for case in cases:
            if case.name in problems or (case.once and number != 1):
                continue
            if measured[case.name] and taken[case.name] >= seconds_per_case:
                continue
            what = f"round {number} of {rounds}" if number else "warm-up"
            tell(f"{rows:>11,} rows, {what}: {case.name}")
            try:
                environment = {**base_environment(ROOT), **services.use(*case.services), **dict(case.environment)}
                output = next(outputs)
                output.mkdir(parents=True)
                setting = Setting(
                    rows=rows,
                    table=table,
                    excel=excel,
                    excel_shared=excel_shared,
                    output=output,
                    environment=environment,
                )
                found = run(
                    case.command(setting),
                    environment,
                    ROOT,
                    workers=services.workers(*case.services),
                    servers=services.servers() if case.services else (),
                )
                shutil.rmtree(output, ignore_errors=True)
                if case.counts:
                    _check_counts(found.told, rows, refused)
            except (CaseFailedError, ServiceStartError, ServiceUnavailableHereError) as error:
                problems[case.name] = str(error)
                tell(f"{case.name} cannot be measured: {error}")
                continue
            taken[case.name] += found.whole_seconds
            if number or found.whole_seconds >= seconds_per_case / 3:
                measured[case.name][number] = found
    return [CaseResult.of(case, rows, measured[case.name], problems.get(case.name)) for case in cases]


def _check_counts(told: Any, rows: int, refused: int) -> None:
    found = (told.get("success_count"), told.get("failure_count"))
    if found != (rows - refused, refused):
        raise CaseFailedError(f"It counted {found} accepted and refused rows, not {(rows - refused, refused)}.")

"""`python -m benchmarks.fairness`: do small imports finish soon behind a huge one?

The whole stack on this machine: Celery workers, PostgreSQL, Valkey, S3. The small imports are posted through every
layer of Django but the web server, three times: one by one, and all at once, with nothing else to do; and all at once
behind one big import that runs already. A small one's time runs from its POST to its end, as the database has both. The
worker is set up as the README says, with one queue for everything.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import generate, people
from benchmarks.services import Services

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where an import has ended with other counts than it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the big import (default: 5,000,000)")
    parser.add_argument("--small", type=int, default=200, help="how many small imports (default: 200)")
    parser.add_argument("--small-rows", type=int, default=1_000, help="rows of each (default: 1,000)")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=2, help="processes of the worker (default: 2)")
    parser.add_argument(
        "--row-microseconds",
        type=float,
        default=0.0,
        help="what the big import's handler waits for, per row, as for a database of its own (default: 0)",
    )
    parser.add_argument("--chunk-rows", type=int, help="rows of its chunks (default: the engine's choice)")
    parser.add_argument("--one-by-one", type=int, default=10, help="imports of the first round (default: 10)")
    parser.add_argument(
        "--behind-only", action="store_true", help="the last round alone; the big import is cancelled at its end"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    os.environ["BENCHMARK_ONE_QUEUE"] = "1"
    with tempfile.TemporaryDirectory() as folder, Services(Path(folder)) as running:
        os.environ |= running.use("redis", "postgresql", "s3", f"django-{given.workers}")
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
        figures = _measure(given)
    facts = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.platform()}
    if given.json:
        print(json.dumps({"machine": facts, **figures}, indent=1))
    else:
        print(", ".join(f"{name} {value}" for name, value in facts.items()))
        _print(figures)
    for problem in figures["problems"]:
        print(problem, file=sys.stderr)
    return 1 if figures["problems"] else 0


def _measure(given: argparse.Namespace) -> dict[str, Any]:
    import django

    from benchmarks.project.celery import app

    app.set_current()
    django.setup()
    user = User()
    big: tuple[Path, dict[str, Any]] = generate.people_csv(given.rows), {"row_microseconds": given.row_microseconds}
    if given.chunk_rows:
        big[1]["chunk_size"] = given.chunk_rows
    small: tuple[Path, dict[str, Any]] = generate.people_csv(given.small_rows), {}
    user.store(big[0])
    user.store(small[0])
    user.wait([user.post(*small)])  # handler and libraries are loaded
    one_by_one = []
    for _ in range(0 if given.behind_only else given.one_by_one):
        one_by_one.append(user.post(*small))
        user.wait(one_by_one[-1:])
    alone, quiet = [], []
    if not given.behind_only:
        alone = [user.post(*small) for _ in range(given.small)]
        user.wait(alone)
        quiet = [user.post(*big)]
        user.wait(quiet)
    shared = user.post(*big)
    user.wait_for_rows(shared)
    before = user.rows_of(shared)
    behind = [user.post(*small) for _ in range(given.small)]
    user.wait(behind)
    meanwhile = user.rows_of(shared) - before
    still_running = user.is_running(shared)
    if given.behind_only:
        user.cancel(shared)
    user.wait([shared])
    whole = [] if given.behind_only else [shared]
    return {
        "rows": given.rows,
        "small_rows": given.small_rows,
        "small": {
            "one by one, alone": _spread(user.seconds(one_by_one)),
            "all at once, alone": _spread(user.seconds(alone)),
            "all at once, behind the big one": _spread(user.seconds(behind)),
        },
        "big": {"alone": user.seconds(quiet), "with the small ones": user.seconds(whole)},
        "big_rows_meanwhile": meanwhile,
        "big_outlived_the_small_ones": still_running,
        "problems": [
            *user.problems([*one_by_one, *alone, *behind], small[0]),
            *user.problems([*quiet, *whole], big[0]),
        ],
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {"p50": statistics.median(ordered), "p95": ordered[round(0.95 * last)], "max": ordered[last]}


def _print(figures: dict[str, Any]) -> None:
    print(f"\nsmall imports of {figures['small_rows']:,} rows, seconds from POST to end")
    for name, spread in figures["small"].items():
        print(f"{name:<34}" + "".join(f"{key:>6} {value:7.2f}" for key, value in spread.items()))
    print(f"\nthe big one of {figures['rows']:,} rows")
    for name, seconds in figures["big"].items():
        print(f"{name:<34}" + "".join(f"{each:13.2f}" for each in seconds))
    print(f"It went on by {figures['big_rows_meanwhile']:,} rows while the small ones were under way.")
    if not figures["big_outlived_the_small_ones"]:
        print("It ended before the small ones did: give it more rows.")


class User:
    """Who imports."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model
        from rest_framework.test import APIClient

        self._user, _ = get_user_model().objects.get_or_create(username="benchmark")
        self.pk = self._user.pk
        self._client = APIClient()
        self._client.force_authenticate(self._user)
        self._files: dict[Path, int] = {}

    def store(self, table: Path) -> None:
        """Upload it."""
        from benchmarks.project.driver import stored

        self._files[table] = stored(table, self._user)

    def post(self, table: Path, options: dict[str, Any]) -> str:
        """Start an import; returns its job."""
        mode = "slow" if "row_microseconds" in options else "row"
        answer = self._client.post(f"/api/{mode}/import/", {"file_id": self._files[table], "options": options})
        if answer.status_code != 202:
            raise SystemExit(f"The import was refused: {answer.content!r}")
        return str(answer.json()["import_job_id"])

    def wait(self, jobs: Sequence[str]) -> None:
        """Until all have ended."""
        began = time.monotonic()
        while any(self.is_running(job) for job in jobs):
            if time.monotonic() > began + _PATIENCE_SECONDS:
                raise SystemExit("The imports do not end.")
            time.sleep(_LOOK_SECONDS)

    def wait_for_rows(self, job: str) -> None:
        """Until the first rows are through."""
        began = time.monotonic()
        while self.rows_of(job) == 0:
            if time.monotonic() > began + _PATIENCE_SECONDS:
                raise SystemExit("The import does not begin.")
            time.sleep(_LOOK_SECONDS)

    def cancel(self, job: str) -> None:
        """End it."""
        self._client.post(f"/api/imports/{job}/cancel/")

    def rows_of(self, job: str) -> int:
        """How many rows of it are through."""
        return int(self._status(job)["processed_rows"])

    def is_running(self, job: str) -> bool:
        """Whether it has not ended."""
        return self._status(job)["status"] in ("queued", "running")

    def seconds(self, jobs: Sequence[str]) -> list[float]:
        """From POST to end, of each."""
        from django_integration.imports.models import ImportJob

        found = ImportJob.objects.filter(pk__in=jobs).values_list("created_at", "finished_at")
        seconds = [(finished - created).total_seconds() for created, finished in found if finished is not None]
        if len(seconds) != len(jobs):
            raise AssertionError(f"{len(jobs) - len(seconds)} jobs have not ended.")
        return seconds

    def problems(self, jobs: Sequence[str], table: Path) -> list[str]:
        """What is wrong with the ends of these, by Python's `csv`."""
        from django_integration.imports.models import ImportJob

        if not jobs:
            return []
        email = people.HEADER.index("email")
        with table.open(newline="", encoding="utf-8") as file:
            are_refused = ["@" not in row[email] for row in csv.reader(file)][1:]
        rows, refused = len(are_refused), sum(are_refused)
        found = ImportJob.objects.filter(pk__in=jobs)
        wrong = found.exclude(status="succeeded", failure_count=refused, success_count=rows - refused)
        return [f"{job.pk} {job.status}: {job.success_count} + {job.failure_count} of {rows} rows" for job in wrong]

    def _status(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(f"/api/import/status/?task_id={job}").json()
        return found


if __name__ == "__main__":
    sys.exit(main())

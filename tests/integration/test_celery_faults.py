"""Celery workers that die in the middle of the main job."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine
from engine import EngineConfig, JobReport
from tests.celery_workers import CeleryWorker, celery_worker
from tests.integration.conftest import Flights
from tests.integration.test_flights import check_against_source

#: Recovery at the pace of a test; the defaults are 20, 10 and 15 seconds.
PACE = {"ROWMILL_LEASE_SECONDS": "6", "ROWMILL_RECOVERY_SECONDS": "1", "ROWMILL_RESEND_SECONDS": "3"}


def start(
    flights: Flights,
    tmp_path: Path,
    redis_url: str,
    handler: str,
    on_progress: Callable[[JobReport], None],
    **options: Any,
) -> JobReport:
    config = EngineConfig.from_env({**PACE, "REDIS_URL": redis_url})
    return engine.run(
        flights.path,
        f"tests.integration.handlers.{handler}",
        output_dir=tmp_path / "out",
        executor="celery",
        config=config,
        on_progress=on_progress,
        **options,
    )


def check(report: JobReport, flights: Flights) -> None:
    assert report.succeeded
    assert (report.counts.success_count, report.counts.failure_count) == (
        len(flights.rows) - flights.failing,
        flights.failing,
    )
    urls = report.job.result_files
    assert urls.success_url is not None
    assert urls.failed_url is not None
    check_against_source(
        {"success": Path(urls.success_url).read_bytes(), "failed": Path(urls.failed_url).read_bytes()}, flights
    )


def test_children_killed_in_mid_chunk_cost_nothing(
    some_flights: Flights, tmp_path: Path, redis_databases: Callable[[], str]
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    dies_on = [7, 30_000, 30_001, 50_123, 84_194]
    seen: list[int] = []
    url = redis_databases()
    with celery_worker(tmp_path, url, concurrency=2, environment=PACE):
        report = start(
            some_flights,
            tmp_path,
            url,
            "has_arrived_or_dies",
            lambda report: seen.append(report.counts.processed_rows),
            dies_on=dies_on,
            marks=str(marks),
        )
    assert sorted(int(mark.name) for mark in marks.iterdir()) == dies_on
    assert max(seen) <= len(some_flights.rows)
    check(report, some_flights)


def test_a_whole_worker_killed_and_replaced_costs_nothing(
    some_flights: Flights, tmp_path: Path, redis_databases: Callable[[], str]
) -> None:
    url = redis_databases()
    reached, replaced = threading.Event(), threading.Event()
    seen: list[int] = []

    def on_progress(report: JobReport) -> None:
        seen.append(report.counts.processed_rows)
        if report.counts.processed_rows > 12_500:
            reached.set()

    with celery_worker(tmp_path, url, concurrency=2, environment=PACE) as first:

        def replace() -> None:
            assert reached.wait(60)
            first.kill_all()
            with celery_worker(tmp_path, url, concurrency=2, environment=PACE):
                replaced.wait(120)

        thread = threading.Thread(target=replace)
        thread.start()
        try:
            report = start(
                some_flights,
                tmp_path,
                url,
                "has_arrived_slowly",
                on_progress,
                seconds_per_100_rows=0.008,
                chunk_size=1_250,
            )
        finally:
            reached.set()
            replaced.set()
            thread.join()
    assert max(seen) <= len(some_flights.rows)
    check(report, some_flights)


def test_one_child_killed_from_outside_costs_nothing(
    some_flights: Flights, tmp_path: Path, redis_databases: Callable[[], str]
) -> None:
    url = redis_databases()
    killed: list[int] = []
    worker: CeleryWorker

    def on_progress(report: JobReport) -> None:
        # One kill for every tenth of the rows, always of the youngest child.
        if report.counts.processed_rows > 7_500 * (len(killed) + 1) and len(killed) < 5 and worker.children:
            killed.append(worker.children[-1])
            os.kill(killed[-1], signal.SIGKILL)

    with celery_worker(tmp_path, url, concurrency=2, environment=PACE) as worker:
        report = start(
            some_flights, tmp_path, url, "has_arrived_slowly", on_progress, seconds_per_100_rows=0.016, chunk_size=1_250
        )
    assert len(killed) == 5
    check(report, some_flights)

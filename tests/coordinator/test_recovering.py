"""What dead processes have left behind is taken up again."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.coordinator.finishing import Finishing
from engine.errors import (
    ServiceUnavailableError,
)
from engine.model import Counts, Job
from engine.progress import MemoryProgress
from engine.status import Phase, Status
from tests.coordinator.scenes import LEASE_SECONDS, silence, tamper
from tests.in_process import InProcess, numbered


def test_a_queued_job_that_nobody_took_is_planned_again(here: InProcess) -> None:
    here.create(numbered(5))
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 0
    silence(here)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 1


def test_a_job_that_waits_for_an_hour_is_ordered_a_few_dozen_times_by_all_workers_together(here: InProcess) -> None:
    created_at = here.create(numbered(5)).created_at
    passed = timedelta()
    workers = [here.coordinator(f"worker {n}", now=lambda: created_at + passed) for n in range(5)]
    orders = []
    while passed < timedelta(hours=1):
        passed += timedelta(seconds=10)
        tamper(here, "UPDATE jobs SET heartbeat_at = heartbeat_at - 10")
        for worker in workers:
            worker.recover(here.job_id, here.executor)
        orders.append(here.executor.plans)
    assert orders[1] == 1, "the first may have been lost"
    assert orders[-1] < 40
    longest_pause = max(orders.count(number) for number in set(orders))
    assert longest_pause * 10 <= 130
    assert (here.job().status, here.job().phase) == (Status.QUEUED, None)


def test_what_was_left_between_the_last_commit_and_the_merge_is_finished(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.finishes == 1


def test_lost_messages_and_dead_workers_chunks_are_sent_again(here: InProcess) -> None:
    here.plan(numbered(50), chunk_size=10)
    assert here.coordinator().chunks_to_send(here.job_id, window=3) == [0, 1, 2]
    assert here.ledger.claim(here.job_id, 1, owner="dies", token="t") is not None  # noqa: S106
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [1, 3, 4]
    here.executor.chunks.clear()
    tamper(here, "UPDATE chunks SET changed_at = changed_at - 20 WHERE status = 'sent'")
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [0, 1, 2, 3, 4]


def test_lost_counters_are_rebuilt(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.progress.clear(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert (snapshot.counts, snapshot.total_rows) == (Counts(success_count=10), 20)


def test_recovery_corrects_counters_whose_process_died_after_its_commit(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(20), chunk_size=10)
    with monkeypatch.context() as patch:
        patch.setattr(here.progress, "record", lambda *_args, **_options: False)  # it never gets there
        here.run_chunk(0)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert snapshot.counts == Counts()
    here.coordinator().recover(here.job_id, here.executor)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert (snapshot.counts, snapshot.total_rows) == (Counts(success_count=10), 20)


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_a_job_that_has_ended_is_left_alone(here: InProcess, end: Status) -> None:
    here.plan(numbered(5))
    here.coordinator().chunks_to_send(here.job_id)
    here.ledger.move_job(here.job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=end, phase=None)
    silence(here)
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.plans, here.executor.finishes) == ([], 0, 0)
    assert here.job().status is end


def test_a_long_merge_says_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001))
    here.plan(numbered(5))
    here.run_all()
    make, heard = Finishing._make_result_files, threading.Event()
    beat = here.ledger.job_heartbeat

    def count(job_id: str, owner: str) -> None:
        beat(job_id, owner)
        heard.set()

    def long(finishing: Finishing, job: Job, *more: Any) -> Any:
        silence(here)
        heard.clear()
        assert heard.wait(10)
        assert here.job().seconds_since_heartbeat < LEASE_SECONDS
        return make(finishing, job, *more)

    monkeypatch.setattr(here.ledger, "job_heartbeat", count)
    monkeypatch.setattr(Finishing, "_make_result_files", long)
    assert here.finish().status is Status.SUCCEEDED
    here.close()


def test_counters_that_are_away_do_not_stop_a_job(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise ServiceUnavailableError("Redis is away")

    for name in ("begin", "set_total", "record", "request_cancel", "snapshot"):
        monkeypatch.setattr(MemoryProgress, name, away)
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    assert here.coordinator().counts(here.job()) == Counts(success_count=10)
    here.coordinator().recover(here.job_id, here.executor)
    here.run_chunk(1)
    assert here.finish().status is Status.SUCCEEDED

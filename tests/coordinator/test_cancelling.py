"""A cancelled job keeps what was done, at whatever moment it was cancelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.coordinator.finishing import Finishing
from engine.errors import (
    JobNotFoundError,
    StatusTransitionError,
    StorageError,
)
from engine.model import Counts, Job
from engine.status import ChunkStatus, Phase, Status
from tests.coordinator.scenes import Block, state, statuses
from tests.in_process import InProcess, numbered, read_csv


def test_a_queued_job_is_cancelled_at_once(here: InProcess) -> None:
    here.create(numbered(5))
    job = here.coordinator().cancel(here.job_id)
    assert (state(job), job.finished_at is not None) == ((Status.CANCELLED, None), True)
    here.coordinator().plan(here.job_id)
    assert here.job().status is Status.CANCELLED
    assert here.coordinator().cancel(here.job_id) == replace(
        job, seconds_since_heartbeat=pytest.approx(job.seconds_since_heartbeat, abs=5)
    )


def test_what_was_done_before_a_cancel_gets_its_files(here: InProcess) -> None:
    here.plan(numbered(30, bad=[2]), "by_cell", chunk_size=10)
    here.run_chunk(0)
    coordinator = here.coordinator()
    for _ in range(3):
        assert state(coordinator.cancel(here.job_id)) == (Status.RUNNING, Phase.CANCELLING)
    assert statuses(here) == [ChunkStatus.DONE, ChunkStatus.DROPPED, ChunkStatus.DROPPED]
    assert here.run_chunk(1) is Ran.NOTHING_TO_DO
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts(success_count=9, failure_count=1))
    assert len(read_csv(here.result("success"))) == 10
    assert len(read_csv(here.result("failed"))) == 2
    assert coordinator.cancel(here.job_id).status is Status.CANCELLED
    with pytest.raises(StatusTransitionError, match="is cancelled and cannot be resumed"):
        coordinator.resume(here.job_id)


def test_a_cancelled_job_waits_for_the_chunk_in_hand(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    claim = here.ledger.claim(here.job_id, 0, owner="dies", token="t")  # noqa: S106
    assert claim is not None
    here.coordinator().cancel(here.job_id)
    assert not here.coordinator().finish(here.job_id)
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 1)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts())
    assert read_csv(here.result()) == [["col_0", "col_1", "import_result"]]


@pytest.mark.parametrize("count_total_first", [True, False])
@pytest.mark.parametrize("by", ["this process", "another"])
def test_a_cancel_while_scanning_is_noticed_by_the_scan(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, by: str, count_total_first: bool
) -> None:
    here.create(numbered(25), chunk_size=10, count_total_first=count_total_first)
    canceller = here.coordinator("coordinator" if by == "this process" else "another")
    seen: list[tuple[Status, Phase | None]] = []

    def cancel() -> None:
        canceller.cancel(here.job_id)
        seen.append(state(here.job()))
        seen.append((here.job().status, here.coordinator("third").finish(here.job_id) or None))  # type: ignore[arg-type]

    Block(here, monkeypatch, cancel)
    here.coordinator().plan(here.job_id)
    assert seen == [(Status.RUNNING, Phase.SCANNING), (Status.RUNNING, None)]
    assert state(here.job()) == (Status.RUNNING, Phase.CANCELLING)
    assert set(statuses(here)) == {ChunkStatus.DROPPED}
    job = here.finish()
    assert (job.status, job.counts, here.parts()) == (Status.CANCELLED, Counts(), [])


def test_a_cancelled_scan_whose_process_is_gone_is_not_repeated(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.create(numbered(25))
    here.coordinator().plan(here.job_id, should_stop=lambda: True)
    here.coordinator().cancel(here.job_id)
    here.source.unlink()
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned again"))
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.plans, here.executor.finishes) == (0, 1)
    assert here.finish().status is Status.CANCELLED


def test_a_cancel_after_the_last_row_ends_as_cancelled_with_every_row(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    here.coordinator().cancel(here.job_id)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts(success_count=5))


def test_a_cancel_while_merging_changes_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()
    make = Finishing._make_result_files

    def cancelled(finishing: Finishing, job: Job, *more: Any) -> Any:
        assert state(here.coordinator("somebody").cancel(here.job_id)) == (Status.RUNNING, Phase.MERGING)
        return make(finishing, job, *more)

    monkeypatch.setattr(Finishing, "_make_result_files", cancelled)
    assert here.finish().status is Status.SUCCEEDED


def test_a_cancel_of_a_failed_job_is_not_held_against_its_resumption(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10, batch_size=1)
    here.coordinator().fail(here.job_id, StorageError("full"))
    assert here.coordinator().cancel(here.job_id).status is Status.FAILED
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert not snapshot.cancel_requested
    here.coordinator().resume(here.job_id)
    here.run_all()
    assert (here.finish().status, here.job().counts.processed_rows) == (Status.SUCCEEDED, 20)


def test_a_cancelled_job_that_failed_is_cancelled_when_it_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    assert not here.coordinator().fail(here.job_id, StorageError("the cancel counts"))
    here.coordinator()._desk.end_failed(here.job_id, StorageError("the merge failed"))
    here.coordinator().resume(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.job().phase, here.executor.chunks, here.executor.finishes) == (Phase.CANCELLING, [], 1)
    assert (here.finish().status, here.job().counts.processed_rows) == (Status.CANCELLED, 10)


def test_a_job_that_is_not_there_cannot_be_cancelled(here: InProcess) -> None:
    with pytest.raises(JobNotFoundError):
        here.coordinator().cancel("no-such-job")

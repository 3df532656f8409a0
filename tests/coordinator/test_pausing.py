"""A paused job begins nothing, keeps what it has, and goes on at once."""

from __future__ import annotations

import pytest

from engine.chunk_runner import Ran
from engine.errors import JobNotFoundError, StatusTransitionError, StorageError
from engine.model import Counts
from engine.status import Phase, Status
from tests.in_process import InProcess, numbered


def test_nothing_is_sent_or_begun_while_a_job_is_paused(here: InProcess) -> None:
    here.plan(numbered(40), chunk_size=10)
    coordinator = here.coordinator()
    assert coordinator.chunks_to_send(here.job_id, window=2) == [0, 1]
    assert here.run_chunk(0) is Ran.DONE
    for _ in range(2):
        assert coordinator.pause(here.job_id).shown_phase == "paused"
    # The message of chunk 1 comes, and is lost on a paused job.
    assert here.run_chunk(1) is Ran.NOTHING_TO_DO
    assert coordinator.chunks_to_send(here.job_id) == []
    coordinator.recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 0)
    assert coordinator.resume(here.job_id).shown_phase == "processing"
    assert coordinator.chunks_to_send(here.job_id) == [1, 2, 3]
    here.run_all()
    assert here.finish().counts == Counts(success_count=40)


def test_a_chunk_in_hand_ends_and_the_last_one_lets_the_job_end(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=20, batch_size=5)
    pauses: list[bool] = []

    def pause() -> bool:
        pauses.append(here.coordinator().pause(here.job_id).paused)
        return False

    assert here.run_chunk(0, should_stop=pause) is Ran.DONE
    assert pauses == [True] * 3
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.finishes == 1
    assert here.finish().status is Status.SUCCEEDED


def test_a_scan_goes_on_while_its_job_is_paused(here: InProcess) -> None:
    here.create(numbered(20), chunk_size=10)
    coordinator = here.coordinator()
    coordinator.pause(here.job_id)
    assert here.job().shown_phase is None
    coordinator.plan(here.job_id)
    assert (here.job().phase, here.job().shown_phase, here.job().total_rows) == (Phase.PROCESSING, "paused", 20)
    assert coordinator.chunks_to_send(here.job_id) == []


def test_a_paused_job_can_be_cancelled(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().pause(here.job_id)
    assert here.coordinator().cancel(here.job_id).shown_phase == "cancelling"
    assert (here.finish().status, here.job().counts.processed_rows) == (Status.CANCELLED, 10)


def test_a_paused_job_can_fail_and_is_not_paused_when_it_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().pause(here.job_id)
    assert here.coordinator().fail(here.job_id, StorageError("full"))
    assert here.finish().status is Status.FAILED
    assert not here.coordinator().resume(here.job_id).paused
    here.run_all()
    assert here.finish().status is Status.SUCCEEDED


def test_a_chunk_of_a_process_that_died_while_paused_runs_again(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    assert here.ledger.claim(here.job_id, 0, owner="dies", token="t") is not None  # noqa: S106
    here.coordinator().pause(here.job_id)
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == []
    here.coordinator().resume(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    assert sorted(here.executor.chunks) == [0, 1]


def test_what_has_ended_or_is_not_there_is_not_paused(here: InProcess) -> None:
    here.run(numbered(5))
    with pytest.raises(StatusTransitionError, match="is succeeded and cannot be paused"):
        here.coordinator().pause(here.job_id)
    with pytest.raises(JobNotFoundError):
        here.coordinator().pause("none")

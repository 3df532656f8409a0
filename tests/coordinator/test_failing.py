"""A job that fails says why, keeps what was done, and goes on when it is resumed."""

from __future__ import annotations

import os

import pytest

from engine.chunk_runner import Ran
from engine.errors import (
    SourceChangedError,
    StatusTransitionError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Counts, ResultFiles
from engine.status import Phase, Status
from tests.coordinator.scenes import Block, state
from tests.in_process import InProcess, numbered, read_csv


def test_a_source_that_changed_mid_run_fails_the_job_and_keeps_what_was_done(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    os.utime(here.source, (1, 1))
    with pytest.raises(SourceChangedError) as caught:
        here.run_chunk(1)
    assert here.coordinator().fail(here.job_id, caught.value)
    assert state(here.job()) == (Status.RUNNING, Phase.FAILING)
    assert here.run_chunk(1) is Ran.NOTHING_TO_DO
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "source_changed", Counts(success_count=10))
    assert len(read_csv(here.result())) == 11
    assert job.result_files.unprocessed_url is None
    assert job.error_message is not None
    assert "The rows that were not processed have no file" in job.error_message


def test_a_failed_job_goes_on_where_it_stopped(here: InProcess) -> None:
    effects = here.folder / "effects"
    here.plan(numbered(30), chunk_size=10, effects=str(effects))
    here.run_chunk(1)
    assert here.coordinator().fail(here.job_id, StorageError("full"))
    assert not here.coordinator().fail(here.job_id, StorageError("again"))
    assert here.finish().status is Status.FAILED
    assert not here.coordinator().fail(here.job_id, StorageError("again"))
    assert here.job().error_message == "full"
    job = here.coordinator().resume(here.job_id)
    assert (job.error_code, job.error_message, job.finished_at) == (None, None, None)
    here.run_all()
    here.finish()
    assert sorted(map(int, effects.read_text().split())) == list(range(1, 31))
    with pytest.raises(StatusTransitionError, match="is succeeded and cannot be resumed"):
        here.coordinator().resume(here.job_id)


def test_a_job_that_runs_or_waits_is_resumed_by_leaving_it_as_it_is(here: InProcess) -> None:
    here.create(numbered(5))
    assert state(here.coordinator().resume(here.job_id)) == (Status.QUEUED, None)
    here.coordinator().plan(here.job_id)
    assert state(here.coordinator().resume(here.job_id)) == (Status.RUNNING, Phase.PROCESSING)


def test_a_job_that_failed_in_its_scan_is_scanned_again(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(25), chunk_size=10)

    def away() -> None:
        raise StorageUnavailableError("away")

    Block(here, monkeypatch, away)
    with pytest.raises(StorageUnavailableError):
        here.coordinator().plan(here.job_id)
    job = here.coordinator().resume(here.job_id)
    assert (state(job), job.owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 1
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_resumed_job_runs_the_chunks_of_dead_processes(here: InProcess) -> None:
    here.plan(numbered(30), chunk_size=10)
    here.coordinator().chunks_to_send(here.job_id, window=2)
    assert here.ledger.claim(here.job_id, 0, owner="dies", token="t") is not None  # noqa: S106
    here.coordinator().fail(here.job_id, StorageError("full"))
    assert state(here.job()) == (Status.RUNNING, Phase.FAILING)
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 1)
    assert (here.finish().status, here.output.exists()) == (Status.FAILED, True)
    assert here.job().result_files == ResultFiles()
    here.coordinator().resume(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [0, 1, 2]


def test_a_commit_after_the_failure_counts_when_the_job_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10, batch_size=5)
    failed: list[bool] = []

    def fails_and_goes_on() -> bool:
        failed.append(here.coordinator().fail(here.job_id, StorageError("elsewhere")))
        return False

    assert here.run_chunk(0, should_stop=fails_and_goes_on) is Ran.DONE
    assert failed == [True]
    assert here.ledger.counts(here.job_id) == Counts(success_count=10)
    assert (here.finish().status, here.job().counts) == (Status.FAILED, Counts(success_count=10))
    here.coordinator().resume(here.job_id)
    here.run_all()
    assert here.finish().counts == Counts(success_count=20)


def test_a_message_of_any_characters_can_be_kept(here: InProcess) -> None:
    here.create(numbered(5))
    here.coordinator().fail(here.job_id, StorageError("file caf\udce9.csv\x00\n"))
    assert here.job().error_message == "file caf\\udce9.csv\x00\n"

"""From a job that is created, or refused before it exists, to its result files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.errors import (
    HandlerError,
    OutputNotWritableError,
    RowmillError,
    SourceMissingError,
)
from engine.model import Counts
from engine.options import ImportOptions
from engine.status import Phase, Status
from tests.coordinator.scenes import Told, state
from tests.in_process import InProcess, numbered


def test_a_job_goes_from_queued_to_succeeded(here: InProcess) -> None:
    told = Told()
    created = here.create(numbered(25, bad=[3, 17]), "by_cell", chunk_size=10)
    assert state(created) == (Status.QUEUED, None)
    coordinator = here.coordinator(listener=told)
    coordinator.plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)
    assert (here.job().total_rows, here.chunk_count()) == (25, 3)
    assert not coordinator.finish(here.job_id)
    here.run_all()
    assert coordinator.finish(here.job_id)
    job = here.job()
    assert told.states == [
        (Status.RUNNING, Phase.SCANNING),
        (Status.RUNNING, Phase.MERGING),
        (Status.SUCCEEDED, None),
    ]
    assert (job.counts, job.total_rows) == (Counts(success_count=23, failure_count=2), 25)
    assert (job.result_files.success_url, job.result_files.failed_url) == (
        str(here.result("success")),
        str(here.result("failed")),
    )
    assert job.started_at is not None
    assert job.finished_at is not None
    assert created.created_at <= job.started_at <= job.finished_at <= datetime.now(UTC)
    assert (job.error_code, job.error_message) == (None, None)
    assert here.parts() == []


def test_chunks_are_handed_out_once_and_never_more_than_the_window(here: InProcess) -> None:
    here.plan(numbered(50), chunk_size=10)
    first, second = here.coordinator("a"), here.coordinator("b")
    assert first.chunks_to_send(here.job_id, window=2) == [0, 1]
    assert second.chunks_to_send(here.job_id, window=2) == []
    here.run_chunk(0)
    assert second.chunks_to_send(here.job_id, window=2) == [2]
    assert first.chunks_to_send(here.job_id) == [3, 4]


def test_nothing_is_sent_of_a_job_that_is_not_processed(here: InProcess) -> None:
    coordinator = here.coordinator()
    here.create(numbered(5))
    assert coordinator.chunks_to_send(here.job_id) == []
    coordinator.plan(here.job_id)
    coordinator.cancel(here.job_id)
    assert coordinator.chunks_to_send(here.job_id) == []


def test_progress_is_known_from_the_start(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=5)
    here.run_chunk(0)
    assert here.coordinator().counts(here.job()) == Counts(success_count=5)
    here.progress.clear(here.job_id)
    here.run_chunk(1)
    here.progress.clear(here.job_id)
    assert here.coordinator().counts(here.job()) == Counts(success_count=10)
    here.run_all()
    assert here.coordinator().counts(here.finish()) == Counts(success_count=20)


# Refused before a job exists


def test_what_can_be_checked_at_once_is_checked_before_a_job_is_written(here: InProcess) -> None:
    good, options = "tests.sample_handlers.accept", ImportOptions()
    here.source.write_text("a\n1\n")
    (here.folder / "file").touch()
    cases: list[tuple[type[RowmillError], tuple[str, str, str]]] = [
        (SourceMissingError, (str(here.folder / "none.csv"), good, str(here.output))),
        (HandlerError, (str(here.source), "tests.sample_handlers.acept", str(here.output))),
        (OutputNotWritableError, (str(here.source), good, str(here.folder / "file" / "out"))),
    ]
    for error, (source, handler, output) in cases:
        with pytest.raises(error):
            here.coordinator().create(source, handler, options, output)
    assert here.ledger.jobs() == []

"""What is wrong with more than a row gives the chunk back, and says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.errors import (
    HandlerError,
    InconsistentJobError,
    LedgerError,
    OutputNotWritableError,
    SourceChangedError,
)
from engine.ledger import SqliteLedger
from engine.model import Chunk
from engine.status import ChunkStatus, Phase, Status
from tests import sample_handlers
from tests.chunk_runner.scenes import chunk, counts
from tests.in_process import InProcess, numbered


def test_a_source_that_was_replaced_is_noticed_and_the_chunk_given_back(here: InProcess) -> None:
    here.plan(numbered(6), chunk_size=3)
    here.run_chunk(0)
    replacement = here.folder / "new.csv"
    replacement.write_bytes(here.source.read_bytes())
    os.replace(replacement, here.source)
    with pytest.raises(SourceChangedError):
        here.run_chunk(1)
    assert chunk(here, 1).status is ChunkStatus.PLANNED
    assert here.ledger.counts(here.job_id) == counts(3)


def test_a_source_changed_in_place_is_noticed(here: InProcess) -> None:
    here.plan(numbered(6), chunk_size=3)
    with open(here.source, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    os.utime(here.source, ns=(1, 1))  # a clock of the file system may stand still for some milliseconds
    with pytest.raises(SourceChangedError):
        here.run_chunk(0)


def test_a_handler_that_is_gone_gives_the_chunk_back(
    here: InProcess, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(2), handle(sample_handlers.accept))
    monkeypatch.delattr(sample_handlers, "of_this_test")
    with pytest.raises(HandlerError, match="of_this_test"):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED


def test_parts_that_cannot_be_written_give_the_chunk_back(here: InProcess) -> None:
    here.plan(numbered(2))
    (here.output / ".rowmill").mkdir()
    (here.output / ".rowmill" / "parts").touch()
    with pytest.raises(OutputNotWritableError):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED


def test_an_interrupt_gives_the_chunk_back(here: InProcess) -> None:
    here.plan(numbered(2), "is_interrupted")
    with pytest.raises(KeyboardInterrupt):
        here.run_chunk()
    assert (chunk(here).status, chunk(here).attempt) == (ChunkStatus.PLANNED, 0)


def test_the_first_error_is_told_when_the_chunk_cannot_be_given_back_either(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(2), "is_interrupted")

    def locked(*_: Any, **__: Any) -> None:
        raise LedgerError("locked")

    monkeypatch.setattr(SqliteLedger, "release", locked)
    with pytest.raises(KeyboardInterrupt):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.LEASED


def test_a_chunk_without_a_plan_is_inconsistent(here: InProcess) -> None:
    here.create(numbered(2))
    here.ledger.add_chunks(
        here.job_id, [Chunk(chunk_index=0, byte_start=0, byte_end=1, first_row_index=1, row_count=1)]
    )
    here.ledger.move_job(here.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=Phase.PROCESSING)
    with pytest.raises(InconsistentJobError, match="no plan"):
        here.run_chunk()


@pytest.mark.parametrize("row_count", [1, 3, 4, 6])
def test_a_chunk_whose_rows_are_not_those_planned_is_inconsistent(here: InProcess, row_count: int) -> None:
    job = here.create(numbered(5))
    here.ledger.add_chunks(here.job_id, [])
    here.coordinator().plan(here.job_id)
    planned = chunk(here).chunk
    other = replace(planned, chunk_index=1, row_count=row_count)
    here.ledger.add_chunks(job.job_id, [other])
    if row_count == 5:
        return
    with pytest.raises(InconsistentJobError, match=f"5 rows where {row_count} were planned"):
        here.run_chunk(1)
    assert chunk(here, 1).status is ChunkStatus.PLANNED

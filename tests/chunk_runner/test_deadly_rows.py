"""Rows that kill their process are found and are the only ones to fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.chunk_runner import MAX_UNEXPLAINED_DEATHS, Ran
from engine.errors import (
    WorkerLostError,
)
from engine.ledger import SqliteLedger
from engine.status import ChunkStatus, Status
from tests.chunk_runner.scenes import chunk, counts, die
from tests.in_process import InProcess, numbered, read_csv


def test_after_two_deaths_rows_are_watched_one_by_one(here: InProcess, handle: Callable[..., str]) -> None:
    watched: list[int | None] = []

    def handler(*_: Any) -> dict[str, Any]:
        with closing(sqlite3.connect(here.folder / "ledger.sqlite3")) as connection:
            watched.append(connection.execute("SELECT watched_row FROM chunks").fetchone()[0])
        return {"ok": True}

    here.plan(numbered(4), handle(handler))
    for number in (0, 1):
        die(here, number, at_row=None)
        state = chunk(here)
        assert state.attempt == number + 1
    assert here.run_chunk() is Ran.DONE
    assert watched == [1, 2, 3, 4]
    assert chunk(here).attempt == 3


def test_rows_are_not_watched_after_one_death(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(4))
    die(here, 0, at_row=None)
    monkeypatch.setattr(SqliteLedger, "watch_row", lambda *_: pytest.fail("watched"))
    assert here.run_chunk() is Ran.DONE


def test_a_row_that_killed_twice_fails_without_being_run(here: InProcess, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    here.plan(numbered(5), effects=str(effects))
    for number, row in enumerate([None, None, 3, 3]):
        die(here, number, at_row=row)
    assert here.run_chunk() is Ran.DONE
    job = here.finish()
    assert effects.read_text().split() == ["1", "2", "4", "5"]
    assert (job.status, job.counts) == (Status.SUCCEEDED, counts(4, 1))
    message = "The process died twice while the handler ran this row; it was not run again."
    assert read_csv(here.result("failed"))[1:] == [["row 3", "good", message]]


def test_a_death_while_the_parts_are_written_is_no_rows_fault(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that always dies there would otherwise make row after row guilty, and never give up."""
    here.plan(numbered(3))
    for number in (0, 1):
        die(here, number, at_row=None)

    class Dies(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr("engine.results.PartWriter.finish", dies)
        patch.setattr(SqliteLedger, "release", lambda *_: None)
        for number in range(4):
            with pytest.raises(Dies):
                here.run_chunk(0, f"writes-{number}")
            here.dead.add(f"writes-{number}")
    claim = here.ledger.claim(here.job_id, 0, owner="last", token="t")  # noqa: S106
    assert claim is not None
    assert (claim.deaths, claim.guilty_rows, claim.suspect_row) == (6, (), None)


def test_a_chunk_on_which_processes_keep_dying_is_given_up_and_can_be_resumed(here: InProcess) -> None:
    here.plan(numbered(3))
    for number in range(MAX_UNEXPLAINED_DEATHS + 1):
        die(here, number, at_row=number % 3 + 1 if number > 1 else None)
    with pytest.raises(WorkerLostError, match=r"21 processes died on chunk 0 \(rows 1 to 3\)"):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED
    # With more memory, the resumed job gets another chance.
    assert here.run_chunk() is Ran.DONE


def test_deaths_that_guilty_rows_explain_are_not_held_against_the_chunk(here: InProcess) -> None:
    here.plan(numbered(40))
    deaths = iter(range(100))
    for row in range(1, 31):
        for _ in (1, 2):
            die(here, next(deaths), at_row=row)
    assert here.run_chunk() is Ran.DONE
    assert chunk(here).outcome.counts == counts(10, 30)

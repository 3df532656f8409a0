"""What the tests of the coordinator do to a job, and how they look at it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.coordinator.finishing import Finishing
from engine.model import Job
from engine.status import ChunkStatus, Phase, Status
from tests.in_process import InProcess, numbered

LEASE_SECONDS = EngineConfig().lease_seconds


def tamper(here: InProcess, statement: str, *values: Any) -> None:
    """Change the books as no code of the engine would."""
    with closing(sqlite3.connect(here.folder / "ledger.sqlite3")) as connection, connection:
        connection.execute(statement, values)


def silence(here: InProcess, seconds: float = 10 * LEASE_SECONDS) -> None:
    """Nobody has said anything of the job for so long."""
    tamper(here, "UPDATE jobs SET heartbeat_at = heartbeat_at - ?", seconds)


def statuses(here: InProcess) -> list[ChunkStatus]:
    return [state.status for state in here.ledger.chunk_states(here.job_id)]


def state(job: Job) -> tuple[Status, Phase | None]:
    return job.status, job.phase


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.states: list[tuple[Status, Phase | None]] = []

    def job_changed(self, job: Job) -> None:
        self.states.append(state(job))


class Block:
    """Lets a test step in while a job is scanned."""

    def __init__(self, here: InProcess, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
        add_chunks = here.ledger.add_chunks

        def step_in(*arguments: Any, **more: Any) -> bool:
            monkeypatch.undo()
            done = add_chunks(*arguments, **more)
            action()
            return done

        monkeypatch.setattr(here.ledger, "add_chunks", step_in)


def merging(here: InProcess, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """A job whose merge was broken off with both files written, and nothing said."""

    class Dies(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Dies

    here.plan(numbered(30, bad=[7, 8]), "by_cell", chunk_size=10, **options)
    here.run_all()
    first = here.coordinator("first")
    with monkeypatch.context() as patch:
        make = Finishing._make_result_files
        patch.setattr(Finishing, "_make_result_files", lambda *arguments: dies(make(*arguments)))
        patch.setattr(first._desk, "_give_back", lambda *_: None)
        with pytest.raises(Dies):
            first.finish(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.MERGING)

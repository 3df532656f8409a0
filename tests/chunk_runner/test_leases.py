"""A chunk belongs to one attempt at a time, and a lost one changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.config import EngineConfig
from engine.ledger import SqliteLedger
from engine.model import Claim
from engine.status import ChunkStatus
from tests.chunk_runner.scenes import TakenOver, chunk, counts, live
from tests.in_process import InProcess, numbered, read_csv


def test_a_commit_after_the_lease_was_lost_leaves_nothing_counted(here: InProcess, handle: Callable[..., str]) -> None:
    handler = TakenOver(here, at_row=5)
    here.plan(numbered(5), handle(handler))
    assert here.run_chunk(0, "first") is Ran.LOST
    state = chunk(here)
    assert (state.status, state.owner, state.attempt) == (ChunkStatus.LEASED, "second", 2)
    assert here.ledger.counts(here.job_id) == counts(0)
    # What the lost attempt had counted falls back with the first word of the other one.
    here.progress.record(here.job_id, 0, 2, counts(1))
    assert live(here) == counts(1)


def test_an_attempt_that_has_lost_its_lease_runs_no_further_batch(
    tmp_path: Path, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001, progress_interval_seconds=0))
    beat = SqliteLedger.heartbeat

    def tell(ledger: SqliteLedger, claim: Claim) -> bool:
        lives = beat(ledger, claim)
        if not lives:
            handler.lost.set()
        return lives

    monkeypatch.setattr(SqliteLedger, "heartbeat", tell)
    handler = TakenOver(here, at_row=3)

    def waits_until_lost(row_index: int, *arguments: Any) -> dict[str, Any]:
        handler(row_index, *arguments)
        if row_index >= 4:
            assert handler.lost.wait(60)
        return {"ok": True}

    here.plan(numbered(1000), handle(waits_until_lost), batch_size=2)
    assert here.run_chunk(0, "first") is Ran.LOST
    assert len(handler.rows) <= 6
    here.close()


def test_a_lost_attempts_parts_are_not_those_of_the_next(here: InProcess, handle: Callable[..., str]) -> None:
    here.plan(numbered(5), handle(TakenOver(here, at_row=5)))
    here.run_chunk(0, "first")
    orphans = set(here.parts())
    here.dead.add("second")
    assert here.run_chunk(0, "third") is Ran.DONE
    mine = chunk(here).outcome.success_part.key
    assert orphans
    assert str(here.output / ".rowmill" / mine) not in {str(path) for path in orphans}
    job = here.finish()
    assert len(read_csv(job.result_files.success_url)) == 6
    assert here.parts() == []


def test_a_process_that_is_to_stop_gives_its_chunk_back(here: InProcess) -> None:
    here.plan(numbered(10), batch_size=2)
    stops = iter([False, True])
    assert here.run_chunk(0, should_stop=lambda: next(stops)) is Ran.STOPPED
    state = chunk(here)
    assert (state.status, state.attempt, state.outcome) == (ChunkStatus.PLANNED, 0, None)
    assert here.parts() == []
    assert here.run_chunk(0, should_stop=lambda: False) is Ran.DONE
    assert live(here) == counts(10)


def test_a_stopped_attempt_leaves_the_ledgers_work_by_an_error(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that shares the handler's database rolls back only then."""
    work, left_by = SqliteLedger.work, []

    @contextmanager
    def watched(ledger: SqliteLedger, claim: Claim, **more: Any) -> Iterator[Any]:
        with work(ledger, claim, **more) as inner:
            try:
                yield inner
            except BaseException as error:
                left_by.append(type(error).__name__)
                raise

    monkeypatch.setattr(SqliteLedger, "work", watched)
    here.plan(numbered(10), batch_size=2)
    here.run_chunk(0, should_stop=lambda: True)
    assert left_by == ["Stopped"]


def test_a_process_that_is_to_stop_after_its_last_batch_commits(here: InProcess) -> None:
    here.plan(numbered(4), batch_size=2)
    stops = iter([False])
    assert here.run_chunk(0, should_stop=lambda: next(stops)) is Ran.DONE

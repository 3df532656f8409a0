"""The live counters, and what becomes of a chunk where they are away."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chunk_runner import Ran, outcome_writer, rebuild_progress
from engine.chunk_runner.collector import resting_collector
from engine.config import EngineConfig
from engine.errors import (
    LeaseLostError,
    LedgerError,
)
from engine.handlers import RowFailure
from engine.ledger import SqliteLedger
from tests.chunk_runner.scenes import TakenOver, counts, die, live
from tests.in_process import InProcess, numbered


def test_counters_are_rebuilt_from_the_committed_chunks(here: InProcess) -> None:
    here.plan(numbered(9), chunk_size=3)
    here.run_chunk(0)
    here.run_chunk(1)
    here.progress.clear(here.job_id)
    rebuild_progress(here.ledger, here.progress, here.job_id)
    assert live(here) == counts(6)
    here.progress.clear(here.job_id)
    here.run_chunk(2)
    assert live(here) == counts(9)


def test_the_last_word_on_a_chunk_is_told_at_once(tmp_path: Path) -> None:
    here = InProcess(tmp_path, EngineConfig(progress_interval_seconds=1_000))
    here.plan(numbered(9), chunk_size=9, batch_size=2)
    here.run_chunk()
    assert live(here) == counts(9)
    here.progress.record(here.job_id, 0, 99, counts(1))
    assert live(here) == counts(9)
    here.close()


def test_an_error_of_the_heartbeat_is_no_error_of_the_chunk(
    tmp_path: Path, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001))
    failed = threading.Event()

    def fails(*_: Any) -> bool:
        failed.set()
        raise LedgerError("locked")

    monkeypatch.setattr(SqliteLedger, "heartbeat", fails)
    here.plan(numbered(3), handle(lambda *_: {"ok": failed.wait(10)}))
    assert here.run_chunk() is Ran.DONE
    here.close()


def test_a_watched_attempt_that_lost_its_lease_stops_before_the_next_row(
    here: InProcess, handle: Callable[..., str]
) -> None:
    handler = TakenOver(here, at_row=2)
    here.plan(numbered(5), handle(handler))
    for number in (0, 1):
        die(here, number, at_row=None)
    assert here.run_chunk(0, "first") is Ran.LOST
    assert handler.rows == [1, 2]


def test_the_refusal_of_a_lost_commit_says_which_attempt_it_was(here: InProcess) -> None:
    here.plan(numbered(5))
    claim = here.ledger.claim(here.job_id, 0, owner="a", token="t")  # noqa: S106
    assert claim is not None
    here.ledger.release(claim)
    with pytest.raises(LeaseLostError, match=f"Attempt 1 of chunk 0 of job {here.job_id} lost its lease"):
        here.ledger.watch_row(claim, 1)


@given(st.lists(st.sampled_from([None, 1, "text", RowFailure("no"), RowFailure, {"ok": True}])))
def test_refused_rows_are_found_alike_with_and_without_the_compiled_loop(outcomes: list[Any]) -> None:
    expected = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, RowFailure)]
    assert outcome_writer._positions_of_failures(outcomes) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome_writer, "loops", None)
        assert outcome_writer._positions_of_failures(outcomes) == expected


def test_the_collector_never_looks_at_what_is_loaded_while_it_rests() -> None:
    looks: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        looks.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        with resting_collector():
            made = [[number] for number in range(10_000)]
            assert not looks
        assert gc.isenabled()
        assert not any(each is made or each is made[-1] for each in gc.get_objects()), "frozen objects are not listed"
        assert not looks, "not when it is on again, either"
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()

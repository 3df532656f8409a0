"""A source becomes chunks, once, whoever begins and breaks off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.coordinator.planning import _with_sizes as with_sizes
from engine.errors import (
    RowmillError,
    SourceEmptyError,
    StorageError,
)
from engine.status import Phase, Status
from tests.coordinator.scenes import Block, silence, state
from tests.in_process import InProcess, numbered


def test_an_unreadable_source_fails_the_job(here: InProcess) -> None:
    here.create(b"")
    with pytest.raises(SourceEmptyError):
        here.coordinator().plan(here.job_id)
    job = here.job()
    assert (state(job), job.error_code) == ((Status.FAILED, None), "source_empty")
    assert job.finished_at is not None


def test_a_defect_in_the_scan_fails_the_job_plainly(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(5))
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: 1 / 0)
    with pytest.raises(RowmillError, match="Internal error while scanning: ZeroDivisionError: division by zero"):
        here.coordinator().plan(here.job_id)
    assert (state(here.job()), here.job().error_code) == ((Status.FAILED, None), "internal_error")


def test_a_second_plan_does_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned twice"))
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    here.finish()
    here.coordinator("other").plan(here.job_id)


def test_of_two_planners_one_scans(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(5))
    others = [here.coordinator("other"), here.coordinator()]

    def others_try() -> None:
        monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned twice"))
        for other in others:
            other.plan(here.job_id)

    Block(here, monkeypatch, others_try)
    here.coordinator().plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)


@pytest.mark.parametrize("before", ["queued", "resumed"])
def test_of_two_planners_that_saw_the_same_job_one_scans(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The second has read the job before the first one moved it."""
    here.create(numbered(5))
    if before == "resumed":
        here.coordinator().fail(here.job_id, StorageError("away"))
        here.coordinator().resume(here.job_id)
    first, second = here.coordinator("first"), here.coordinator("second")
    seen = iter([here.job()])
    ledger_job = here.ledger.job
    scans: list[str] = []
    monkeypatch.setattr(second._planning, "_scan", lambda *_: scans.append("second"))

    def first_scans(*_: Any) -> None:
        scans.append("first")
        monkeypatch.setattr(here.ledger, "job", lambda job_id: next(seen, None) or ledger_job(job_id))
        second.plan(here.job_id)

    monkeypatch.setattr(first._planning, "_scan", first_scans)
    first.plan(here.job_id)
    assert scans == ["first"]
    assert here.job().owner == "first"


@pytest.mark.parametrize("gone", ["dead", "silent"])
def test_a_scan_whose_process_is_gone_starts_over(here: InProcess, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    here.create(numbered(25), chunk_size=10)
    monkeypatch.setattr("engine.ledger.owner.is_dead", lambda owner: owner in here.dead)

    class Dies(BaseException):
        pass

    def dies() -> None:
        raise Dies

    def leaves_no_word(*_: Any) -> None:
        pass

    first = here.coordinator("first")
    monkeypatch.setattr(first._desk, "_give_back", leaves_no_word)
    with monkeypatch.context() as patch:
        Block(here, patch, dies)
        with pytest.raises(Dies):
            first.plan(here.job_id)
    second = here.coordinator("second")
    second.plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.SCANNING)
    second.recover(here.job_id, here.executor)
    assert here.executor.plans == 0
    if gone == "dead":
        here.dead.add("first")
    else:
        silence(here)
    second.recover(here.job_id, here.executor)
    assert here.executor.plans == 1
    second.plan(here.job_id)
    assert (state(here.job()), here.chunk_count()) == ((Status.RUNNING, Phase.PROCESSING), 3)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_scan_that_is_interrupted_is_given_back_at_once(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(25))

    def interrupt() -> None:
        raise KeyboardInterrupt

    Block(here, monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        here.coordinator().plan(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator().plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)


def test_a_scan_that_is_told_to_stop_is_given_back_at_once(here: InProcess) -> None:
    here.create(numbered(25))
    here.coordinator().plan(here.job_id, should_stop=lambda: True)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_scan_that_lost_its_job_changes_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent for too long, it was replaced; the other scan is what counts, whatever becomes of this one."""
    here.create(numbered(5))

    def replaced() -> None:
        silence(here)
        other = here.coordinator("other")
        monkeypatch.setattr(other._planning, "_scan", lambda *_: None)
        other.plan(here.job_id)
        raise StorageError("the first one's own trouble")

    Block(here, monkeypatch, replaced)
    here.coordinator("first").plan(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), "other")


def test_chunks_start_while_the_scan_goes_on_unless_the_total_is_wanted_first(here: InProcess) -> None:
    seen: list[tuple[Phase | None, list[int]]] = []
    coordinator = here.coordinator()

    def on_chunks() -> None:
        seen.append((here.job().phase, coordinator.chunks_to_send(here.job_id)))

    here.create(numbered(25), chunk_size=10, count_total_first=False)
    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert seen[0][0] is Phase.SCANNING
    assert seen[0][1][0] == 0
    assert seen[-1][0] is Phase.PROCESSING
    here.create(numbered(25), chunk_size=10, count_total_first=True)
    seen.clear()
    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert seen == [(Phase.PROCESSING, [0, 1, 2])]


class Costs:
    """What a row takes, for whoever asks now."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.on_look: Callable[[], None] = lambda: None

    def seconds_per_row(self, handler_path: str) -> float | None:
        self.on_look()
        return self.seconds

    def note_cost(self, handler_path: str, *, rows: int, seconds: float) -> None:
        pass


@pytest.mark.parametrize("asleep_at", ["the choice of sizes", "the pinned source", "the first chunks"])
@pytest.mark.parametrize("counts_first", [True, False])
def test_a_scan_that_was_taken_over_while_it_slept_adds_no_rows_a_second_time(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, asleep_at: str, counts_first: bool
) -> None:
    """What it would cut differs from what the other one cut: what rows cost has become known meanwhile."""
    monkeypatch.setattr(here, "config", replace(here.config, max_chunk_bytes=1_000, scan_block_bytes=700))
    here.create(numbered(200), count_total_first=counts_first)
    costs, later = Costs(0.4), Costs(1e-6)
    sleeper = here.coordinator("sleeper", costs=costs)
    other = here.coordinator("other", costs=later)
    taken_over: list[Any] = []

    def planned() -> list[Any]:
        return [here.job().plan, [each.chunk for each in here.ledger.chunk_states(here.job_id)]]

    def take_over(*_: Any) -> None:
        if not taken_over:
            taken_over.append("by the other")
            silence(here)
            assert other.plan(here.job_id)
            taken_over[:] = planned()

    if asleep_at == "the choice of sizes":
        costs.on_look = take_over
    elif asleep_at == "the pinned source":
        monkeypatch.setattr(
            "engine.coordinator.planning._with_sizes", lambda plan, sizes: [take_over(), with_sizes(plan, sizes)][1]
        )
    else:
        add_chunks = here.ledger.add_chunks
        monkeypatch.setattr(here.ledger, "add_chunks", lambda *a, **k: [take_over(), add_chunks(*a, **k)][1])
    sleeper.plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)
    assert planned() == taken_over
    here.run_all()
    assert here.finish().counts.success_count == 200


@pytest.mark.parametrize("counts_first", [True, False])
def test_a_scan_that_is_done_again_under_other_settings_cuts_as_the_first_did(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, counts_first: bool
) -> None:
    """A deploy may bring them while a source is scanned."""
    here.config = replace(here.config, max_chunk_bytes=1_000, scan_block_bytes=700)
    monkeypatch.setattr("engine.coordinator.planning._CHUNKS_AT_ONCE", 1)
    here.create(numbered(300), chunk_size=50, count_total_first=counts_first)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        Block(here, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            here.coordinator().plan(here.job_id)
    begun = here.chunk_count()
    assert 0 < begun < 6
    here.config = replace(here.config, max_chunk_bytes=300)
    assert here.coordinator("of the next version").plan(here.job_id)
    chunks = [each.chunk for each in here.ledger.chunk_states(here.job_id)]
    assert [chunk.first_row_index for chunk in chunks] == [1, 51, 101, 151, 201, 251]
    assert sum(chunk.row_count for chunk in chunks) == here.job().total_rows == 300

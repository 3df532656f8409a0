"""What an order to run a chunk leads to: lost work first, and no message used up for it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

import pytest

from engine.runtime.job_steps import JobSteps
from engine.status import ChunkStatus, Status
from tests.in_process import InProcess, RecordingExecutor, numbered


def steps(here: InProcess, orders: RecordingExecutor) -> JobSteps:
    return JobSteps(here.coordinator("worker"), here.runner("worker"), orders)


def statuses(here: InProcess) -> list[ChunkStatus]:
    return [state.status for state in here.ledger.chunk_states(here.job_id)]


def planned(here: InProcess, *, dead: Sequence[int]) -> None:
    """A job of four chunks that are all sent; processes have died on some."""
    here.plan(numbered(40), chunk_size=10)
    assert here.ledger.send_chunks(here.job_id, window=4) == [0, 1, 2, 3]
    for index in dead:
        assert here.ledger.claim(here.job_id, index, owner="dies", token=f"t{index}") is not None
    here.dead.add("dies")


def test_a_chunk_that_a_process_died_on_is_run_first_and_the_ordered_one_is_ordered_again(here: InProcess) -> None:
    orders = RecordingExecutor()
    planned(here, dead=[2])
    steps(here, orders).chunk(here.job_id, 0)
    assert statuses(here) == ["sent", "sent", "done", "sent"]
    assert orders.chunks == [0]
    for _ in range(2):  # the message of the chunk that was run already has nothing to do
        steps(here, orders).chunk(here.job_id, 2)
    assert statuses(here) == ["sent", "sent", "done", "sent"]
    assert orders.chunks == [0]
    for index in (0, 1, 3):
        steps(here, orders).chunk(here.job_id, index)
    assert statuses(here) == ["done"] * 4
    assert orders.chunks == [0]
    assert orders.finishes == 1


def test_the_order_for_the_very_chunk_that_a_process_died_on_runs_it_once(here: InProcess) -> None:
    orders = RecordingExecutor()
    planned(here, dead=[1])
    steps(here, orders).chunk(here.job_id, 1)
    assert statuses(here) == ["sent", "done", "sent", "sent"]
    assert orders.chunks == []


def test_where_another_process_was_faster_the_ordered_chunk_is_run(here: InProcess) -> None:
    orders = RecordingExecutor()
    planned(here, dead=[3])
    coordinator = here.coordinator("worker")
    taken = coordinator.abandoned_chunk(here.job_id)
    assert taken == 3
    coordinator.abandoned_chunk = lambda _job_id: taken  # type: ignore[method-assign]
    assert here.ledger.claim(here.job_id, 3, owner="faster", token="f") is not None  # noqa: S106 - no password
    JobSteps(coordinator, here.runner("worker"), orders).chunk(here.job_id, 0)
    assert statuses(here) == ["done", "sent", "sent", "leased"]
    assert orders.chunks == []


def test_of_a_paused_or_cancelled_job_nothing_is_run(here: InProcess) -> None:
    orders = RecordingExecutor()
    planned(here, dead=[2])
    here.ledger.set_paused(here.job_id, True)
    steps(here, orders).chunk(here.job_id, 0)
    assert statuses(here) == ["sent", "sent", "leased", "sent"]
    assert orders.chunks == []


@pytest.mark.parametrize("comes_from", ["the handler", "outside"])
def test_an_interrupt_of_the_handlers_own_ends_the_job_and_no_process(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, comes_from: str
) -> None:
    """A child of Celery ignores Ctrl-C: one that comes there would come again in every child that gets the chunk."""
    here.plan(numbered(20), chunk_size=10)

    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.sample_handlers.accept", handler)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if comes_from == "the handler" else signal.default_int_handler)
    try:
        with pytest.raises(RuntimeError if comes_from == "the handler" else KeyboardInterrupt):
            steps(here, RecordingExecutor()).chunk(here.job_id, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    if comes_from == "outside":
        assert (here.job().status, statuses(here)) == (Status.RUNNING, ["planned"] * 2)
    else:
        assert (here.job().status, here.job().error_code) == (Status.FAILED, "internal_error")
        assert "KeyboardInterrupt" in str(here.job().error_message)

"""The loop of a worker, run in a thread, with the test in place of its parent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.errors import RowmillError, SourceChangedError
from engine.model import Counts
from engine.runtime.local_worker import LocalWorker, main
from engine.status import ChunkStatus
from tests import sample_handlers
from tests.in_process import InProcess, numbered

#: Seconds; a worker that is told to end does so at once.
PATIENCE_SECONDS = 60


class Parent:
    """The other end of a worker's socket."""

    def __init__(self, here: InProcess) -> None:
        ours, theirs = socket.socketpair()
        self.connection, self._theirs = Connection(ours.detach()), Connection(theirs.detach())
        self._worker = threading.Thread(
            target=lambda: LocalWorker(self._theirs, here.ledger.url, here.config).serve(), daemon=True
        )
        self._worker.start()

    def order(self, *message: Any) -> None:
        self.connection.send(message)

    def hears(self) -> list[tuple[Any, ...]]:
        """All that the worker says, but its counts, until it has ended by itself."""
        self._worker.join(PATIENCE_SECONDS)
        assert not self._worker.is_alive()
        self._theirs.close()
        heard = []
        while True:
            try:
                message = self.connection.recv()
            except EOFError:
                return heard
            if message[0] != "counts":
                heard.append(message)

    def close(self) -> None:
        self.connection.close()
        self._worker.join(PATIENCE_SECONDS)
        self._theirs.close()


@pytest.fixture
def parent(here: InProcess) -> Iterator[Parent]:
    made = Parent(here)
    yield made
    made.close()


@pytest.fixture
def at_row(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], str]:
    """A handler that calls the test when it comes to a row."""

    def make(row: int, action: Callable[[], None]) -> str:
        def handler(row_index: int, *_: Any) -> dict[str, Any]:
            if row_index == row:
                action()
            return {"ok": True}

        monkeypatch.setattr(sample_handlers, "of_this_test", handler, raising=False)
        return "of_this_test"

    return make


def statuses(here: InProcess) -> list[ChunkStatus]:
    return [state.status for state in here.ledger.chunk_states(here.job_id)]


def test_chunks_are_run_in_the_order_of_their_messages(here: InProcess, parent: Parent) -> None:
    here.plan(numbered(30), chunk_size=10)
    for index in (2, 0, 1, 0):
        parent.order("run", here.job_id, index)
    heard = [parent.connection.recv() for _ in range(5)]
    while heard[-1][0:2] != ("ran", 0) or heard[-1][2] is Ran.DONE:
        heard.append(parent.connection.recv())
    assert [message for message in heard if message[0] != "counts"] == [
        ("ready",),
        ("ran", 2, Ran.DONE),
        ("ran", 0, Ran.DONE),
        ("ran", 1, Ran.DONE),
        ("ran", 0, Ran.NOTHING_TO_DO),
    ]
    done = {message[2]: message[4] for message in heard if message[0] == "counts" and message[5]}
    assert done == dict.fromkeys(range(3), Counts(success_count=10))


@pytest.mark.parametrize("order", ["drain", "stop"])
def test_an_idle_worker_ends_when_it_is_told_to(parent: Parent, order: str) -> None:
    parent.order(order)
    assert parent.hears() == [("ready",)]


def test_a_worker_told_to_drain_ends_after_the_chunk_in_hand(
    here: InProcess, parent: Parent, at_row: Callable[..., str]
) -> None:
    here.plan(numbered(20), at_row(5, lambda: parent.order("drain")), chunk_size=10, batch_size=2)
    parent.order("run", here.job_id, 0)
    assert parent.hears() == [("ready",), ("ran", 0, Ran.DONE)]


def test_a_worker_told_to_drain_leaves_the_chunks_that_it_has_not_begun(
    here: InProcess, parent: Parent, at_row: Callable[..., str]
) -> None:
    def drains() -> None:
        parent.order("run", here.job_id, 1)
        parent.order("drain")

    here.plan(numbered(20), at_row(5, drains), chunk_size=10, batch_size=2)
    parent.order("run", here.job_id, 0)
    assert parent.hears() == [("ready",), ("ran", 0, Ran.DONE)]
    assert statuses(here) == [ChunkStatus.DONE, ChunkStatus.PLANNED]


def test_a_worker_told_to_stop_gives_its_chunk_back_and_ends(
    here: InProcess, parent: Parent, at_row: Callable[..., str]
) -> None:
    here.plan(numbered(20), at_row(5, lambda: parent.order("stop")), chunk_size=10, batch_size=2)
    parent.order("run", here.job_id, 0)
    assert parent.hears() == [("ready",), ("ran", 0, Ran.STOPPED)]
    assert statuses(here) == [ChunkStatus.PLANNED, ChunkStatus.PLANNED]


def test_a_worker_whose_parent_is_gone_commits_its_chunk_and_ends(
    here: InProcess, parent: Parent, at_row: Callable[..., str]
) -> None:
    def leaves() -> None:
        parent.order("run", here.job_id, 1)
        parent.connection.close()

    here.plan(numbered(20), at_row(5, leaves), chunk_size=10, batch_size=2)
    parent.order("run", here.job_id, 0)
    parent._worker.join(PATIENCE_SECONDS)
    assert statuses(here) == [ChunkStatus.DONE, ChunkStatus.PLANNED]


def test_a_cancel_reaches_the_chunk_in_hand(here: InProcess, parent: Parent, at_row: Callable[..., str]) -> None:
    def cancel() -> None:
        here.coordinator("somebody").cancel(here.job_id)
        parent.order("cancel", here.job_id)
        parent.order("drain")

    here.plan(numbered(20), at_row(5, cancel), batch_size=2)
    parent.order("run", here.job_id, 0)
    assert parent.hears() == [("ready",), ("ran", 0, Ran.DONE)]
    assert here.ledger.counts(here.job_id) == Counts(success_count=6)


def test_an_error_is_told_and_the_worker_goes_on(here: InProcess, parent: Parent, at_row: Callable[..., str]) -> None:
    here.plan(numbered(20), at_row(15, lambda: parent.order("drain")), chunk_size=10)
    moved = here.source.rename(here.folder / "moved.csv")
    here.source.write_bytes(moved.read_bytes())
    parent.order("run", here.job_id, 0)
    _, (kind, index, error) = parent.connection.recv(), parent.connection.recv()
    assert (kind, index, type(error)) == ("error", 0, SourceChangedError)
    here.source.unlink()
    moved.rename(here.source)
    parent.order("run", here.job_id, 1)
    assert parent.hears() == [("ran", 1, Ran.DONE)]


@pytest.mark.parametrize(
    ("defect", "says"), [(KeyError("x"), "KeyError: 'x'"), (KeyboardInterrupt(), "KeyboardInterrupt: ")]
)
def test_a_defect_is_told_as_one(
    here: InProcess, parent: Parent, monkeypatch: pytest.MonkeyPatch, defect: BaseException, says: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise defect

    here.plan(numbered(20))
    monkeypatch.setattr("engine.chunk_runner.attempt.read_chunk_slices", fails)
    parent.order("run", here.job_id, 0)
    _, (kind, index, error) = parent.connection.recv(), parent.connection.recv()
    assert (kind, index, type(error)) == ("error", 0, RowmillError)
    assert error.message == f"Internal error in chunk 0: {says}"
    assert statuses(here) == [ChunkStatus.PLANNED]


def test_a_process_whose_parent_is_gone_before_the_set_up_just_ends() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    main(theirs.detach())

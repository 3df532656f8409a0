from __future__ import annotations

import logging

import pytest

from engine.errors import ServiceUnavailableError
from engine.model import Counts
from engine.progress import MemoryProgress, Ticker
from engine.progress.ticker import PAUSE_SECONDS

JOB = "job"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class CountingStore(MemoryProgress):
    """Remembers what it was told, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, bool]] = []
        self.is_away = False

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        self.calls.append((counts.success_count, done))
        if self.is_away:
            raise ServiceUnavailableError("Redis does not answer.")
        return super().record(job_id, chunk_index, attempt, counts, done=done)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore()
    store.begin(JOB, total_rows=None)
    return store


def ticker(store: CountingStore, clock: Clock, **arguments: object) -> Ticker:
    return Ticker(store, JOB, 0, 1, interval_seconds=1.0, clock=clock, **arguments)  # type: ignore[arg-type]


def rows(success: int) -> Counts:
    return Counts(success_count=success)


def test_batches_within_an_interval_are_gathered(store: CountingStore, clock: Clock) -> None:
    with ticker(store, clock) as tick:
        for batch in range(1, 26):
            clock.now += 0.125
            assert tick.tick(rows(batch)) is False
    # At 1, 2 and 3 seconds, and what was left at the end.
    assert store.calls == [(8, False), (16, False), (24, False), (25, False)]


def test_a_slow_batch_is_sent_at_once(store: CountingStore, clock: Clock) -> None:
    tick = ticker(store, clock)
    clock.now += 5
    tick.tick(rows(1))
    tick.tick(rows(2))
    clock.now += 5
    tick.tick(rows(3))
    assert store.calls == [(1, False), (3, False)]


def test_force_sends_now(store: CountingStore, clock: Clock) -> None:
    tick = ticker(store, clock)
    tick.tick(rows(1), force=True)
    tick.tick(rows(2))
    assert store.calls == [(1, False)]


def test_close_sends_the_last_state_once_and_only_if_needed(store: CountingStore, clock: Clock) -> None:
    tick = ticker(store, clock)
    tick.close()
    tick.tick(rows(1))
    tick.close()
    tick.close()
    assert store.calls == [(1, False)]


def test_an_attempt_that_fails_sends_its_last_state(store: CountingStore, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), ticker(store, clock) as tick:  # noqa: PT012
        tick.tick(rows(1))
        raise ZeroDivisionError
    assert store.calls == [(1, False)]


def test_done_is_the_last_word(store: CountingStore, clock: Clock) -> None:
    with ticker(store, clock) as tick:
        tick.tick(rows(1))
        tick.done(rows(2))
    assert store.calls == [(2, True)]


def test_a_cancel_is_passed_back(store: CountingStore, clock: Clock) -> None:
    tick = ticker(store, clock)
    store.request_cancel(JOB)
    assert tick.tick(rows(1)) is False
    assert tick.tick(rows(2), force=True) is True
    assert tick.tick(rows(3)) is True
    assert tick.cancel_requested


def test_missing_counters_are_rebuilt_once_and_recorded_again(store: CountingStore, clock: Clock) -> None:
    rebuilt: list[int] = []

    def rebuild() -> None:
        rebuilt.append(1)
        store.begin(JOB, total_rows=9, done={5: rows(4)}, only_if_missing=True)

    tick = ticker(store, clock, rebuild=rebuild)
    store.clear(JOB)
    tick.tick(rows(1), force=True)
    snapshot = store.snapshot(JOB)
    assert snapshot is not None
    assert snapshot.counts == rows(5)
    assert (store.calls, rebuilt) == ([(1, False), (1, False)], [1])


def test_counters_that_stay_missing_are_no_error_and_keep_the_cancel(store: CountingStore, clock: Clock) -> None:
    tick = ticker(store, clock, rebuild=lambda: None)
    store.request_cancel(JOB)
    assert tick.tick(rows(1), force=True) is True
    store.clear(JOB)
    assert tick.tick(rows(2), force=True) is True
    assert store.calls == [(1, False), (2, False), (2, False)]
    assert ticker(store, clock).tick(rows(1), force=True) is False


def test_a_store_that_is_away_is_logged_and_left_alone_for_a_while(
    store: CountingStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    tick = ticker(store, clock)
    with caplog.at_level(logging.WARNING):
        for batch in range(1, 4):
            clock.now += 1
            assert tick.tick(rows(batch)) is False
    assert store.calls == [(1, False)]
    assert [record.getMessage() for record in caplog.records] == ["progress is not updated"]
    store.is_away = False
    clock.now += PAUSE_SECONDS
    tick.tick(rows(4))
    assert store.calls == [(1, False), (4, False)]


def test_done_is_tried_even_then(store: CountingStore, clock: Clock) -> None:
    store.is_away = True
    tick = ticker(store, clock)
    tick.tick(rows(1), force=True)
    store.is_away = False
    tick.done(rows(2))
    assert store.calls == [(1, False), (2, True)]

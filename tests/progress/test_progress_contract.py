"""What every ProgressStore does."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.model import Counts
from engine.progress import ProgressSnapshot, ProgressStore


@pytest.fixture
def job_id() -> str:
    return str(uuid.uuid4())


def counts(success: int, failure: int = 0) -> Counts:
    return Counts(success_count=success, failure_count=failure)


def seen(store: ProgressStore, job_id: str) -> Counts:
    snapshot = store.snapshot(job_id)
    assert snapshot is not None
    return snapshot.counts


def test_a_job_that_was_never_begun_is_missing(store: ProgressStore, job_id: str) -> None:
    assert store.snapshot(job_id) is None
    assert store.record(job_id, 0, 1, counts(5)) is None
    store.set_total(job_id, 10)
    assert store.snapshot(job_id) is None


def test_a_begun_job_starts_from_zero(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=None)
    assert store.snapshot(job_id) == ProgressSnapshot(total_rows=None, counts=Counts(), cancel_requested=False)
    store.set_total(job_id, 10)
    assert store.snapshot(job_id) == ProgressSnapshot(total_rows=10, counts=Counts(), cancel_requested=False)


def test_counts_of_chunks_add_up(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=100)
    assert store.record(job_id, 0, 1, counts(5, 1)) is False
    assert store.record(job_id, 1, 1, counts(7, 2)) is False
    assert store.record(job_id, 0, 1, counts(8, 2)) is False
    assert seen(store, job_id) == counts(15, 4)


def test_a_repeated_record_changes_nothing(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=100)
    for done in (False, False, True, True):
        store.record(job_id, 0, 1, counts(5, 1), done=done)
        assert seen(store, job_id) == counts(5, 1)


def test_a_new_attempt_falls_back(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=100)
    store.record(job_id, 0, 1, counts(90, 9))
    store.record(job_id, 0, 2, counts(0))
    assert seen(store, job_id) == counts(0)
    store.record(job_id, 0, 2, counts(3))
    assert seen(store, job_id) == counts(3)


@pytest.mark.parametrize("done", [False, True])
def test_an_earlier_attempt_is_ignored(store: ProgressStore, job_id: str, done: bool) -> None:
    store.begin(job_id, total_rows=100)
    store.record(job_id, 0, 10, counts(3))
    assert store.record(job_id, 0, 9, counts(50), done=done) is False
    assert seen(store, job_id) == counts(3)
    store.record(job_id, 0, 10, counts(4), done=True)
    assert seen(store, job_id) == counts(4)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_after_its_commit_a_chunk_does_not_change(store: ProgressStore, job_id: str, attempt: int) -> None:
    store.begin(job_id, total_rows=100)
    store.record(job_id, 0, 2, counts(8, 2), done=True)
    assert store.record(job_id, 0, attempt, counts(0)) is False
    assert store.record(job_id, 0, attempt, counts(1), done=True) is False
    assert seen(store, job_id) == counts(8, 2)


def test_begin_makes_the_counters_exactly_what_is_given(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=50)
    store.record(job_id, 0, 1, counts(5))
    store.record(job_id, 7, 1, counts(7))
    store.begin(job_id, total_rows=None, done={0: counts(10, 1), 3: counts(20, 2)})
    assert store.snapshot(job_id) == ProgressSnapshot(total_rows=None, counts=counts(30, 3), cancel_requested=False)
    store.record(job_id, 0, 5, counts(0))
    assert seen(store, job_id) == counts(30, 3)
    store.record(job_id, 7, 1, counts(4))
    assert seen(store, job_id) == counts(34, 3)
    store.begin(job_id, total_rows=None)
    assert seen(store, job_id) == counts(0)


def test_begin_for_rebuilding_leaves_counters_that_are_there(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=50, done={0: counts(10)}, only_if_missing=True)
    assert seen(store, job_id) == counts(10)
    store.record(job_id, 1, 1, counts(5), done=True)
    # Another worker, which had read the ledger before chunk 1 was committed.
    store.begin(job_id, total_rows=None, done={0: counts(10)}, only_if_missing=True)
    assert store.snapshot(job_id) == ProgressSnapshot(total_rows=50, counts=counts(15), cancel_requested=False)


def test_a_cancel_is_seen_by_every_record_and_survives_begin(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=50)
    store.request_cancel(job_id)
    store.request_cancel(job_id)
    assert store.record(job_id, 0, 1, counts(5)) is True
    store.begin(job_id, total_rows=50)
    assert store.record(job_id, 0, 1, counts(5)) is True
    snapshot = store.snapshot(job_id)
    assert snapshot is not None
    assert snapshot.cancel_requested


def test_an_ignored_record_hears_of_a_cancel_too(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=50, done={0: counts(1)})
    store.request_cancel(job_id)
    assert store.record(job_id, 0, 1, counts(5)) is True


def test_a_cancel_can_come_before_the_counters(store: ProgressStore, job_id: str) -> None:
    store.request_cancel(job_id)
    assert store.snapshot(job_id) is None
    assert store.record(job_id, 0, 1, counts(5)) is None
    store.begin(job_id, total_rows=5, only_if_missing=True)
    assert store.record(job_id, 0, 1, counts(5)) is True


def test_clear_forgets_everything(store: ProgressStore, job_id: str) -> None:
    store.begin(job_id, total_rows=50)
    store.request_cancel(job_id)
    store.clear(job_id)
    store.clear(job_id)
    assert store.snapshot(job_id) is None
    store.begin(job_id, total_rows=50)
    assert store.record(job_id, 0, 1, counts(5)) is False


def test_jobs_do_not_see_each_other(store: ProgressStore, job_id: str) -> None:
    other = str(uuid.uuid4())
    store.begin(job_id, total_rows=50)
    store.begin(other, total_rows=50)
    store.record(job_id, 0, 1, counts(5))
    store.request_cancel(job_id)
    assert seen(store, other) == counts(0)
    assert store.record(other, 0, 1, counts(1)) is False


def test_numbers_stay_exact_when_they_are_huge(store: ProgressStore, job_id: str) -> None:
    huge = 4_000_000_000_000_000
    store.begin(job_id, total_rows=huge, done={0: counts(huge, 1)})
    store.record(job_id, 1, 1, counts(huge, huge))
    store.record(job_id, 1, 1, counts(huge + 1, huge - 1))
    assert seen(store, job_id) == counts(2 * huge + 1, huge)


def test_many_threads_lose_and_double_nothing(store: ProgressStore, job_id: str) -> None:
    chunk_count, steps = 16, 25
    store.begin(job_id, total_rows=chunk_count * steps)

    def work(chunk_index: int) -> None:
        for attempt in (1, 2):
            for step in range(steps + 1):
                store.record(job_id, chunk_index, attempt, counts(step))
                snapshot = store.snapshot(job_id)
                assert snapshot is not None
                assert snapshot.counts.processed_rows <= chunk_count * steps
        store.record(job_id, chunk_index, 2, counts(steps - 1, 1), done=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, list(range(chunk_count)) * 2))
    assert seen(store, job_id) == counts(chunk_count * (steps - 1), chunk_count)

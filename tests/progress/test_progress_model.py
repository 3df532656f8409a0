"""Any order of calls gives what a plain recount gives."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from engine.config import EngineConfig
from engine.model import Counts
from engine.progress import MemoryProgress, ProgressStore, RedisProgress
from tests.readers.strategies import examples

CHUNK_ROWS = 10
CHUNKS = 4

COUNTS = st.integers(0, CHUNK_ROWS).flatmap(
    lambda success: st.builds(
        Counts, success_count=st.just(success), failure_count=st.integers(0, CHUNK_ROWS - success)
    )
)


class ProgressMachine(RuleBasedStateMachine):
    """The model: one entry a chunk, recounted after every step."""

    make_store: Callable[[], ProgressStore]
    wipe: Callable[[ProgressStore, str], None]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).make_store()
        self.job_id = str(uuid.uuid4())
        self.chunks: dict[int, tuple[int, Counts, bool]] | None = None
        self.total: int | None = None
        self.cancelled = False
        self.last_record: tuple[int, int, Counts, bool] | None = None

    @rule(
        total=st.none() | st.just(CHUNKS * CHUNK_ROWS),
        done=st.dictionaries(st.integers(0, CHUNKS - 1), COUNTS),
        only_if_missing=st.booleans(),
    )
    def begin(self, total: int | None, done: dict[int, Counts], only_if_missing: bool) -> None:
        self.store.begin(self.job_id, total_rows=total, done=done, only_if_missing=only_if_missing)
        if self.chunks is None or not only_if_missing:
            self.chunks = {index: (0, counts, True) for index, counts in done.items()}
            self.total = total

    @rule(chunk_index=st.integers(0, CHUNKS - 1), attempt=st.integers(1, 3), counts=COUNTS, done=st.booleans())
    def record(self, chunk_index: int, attempt: int, counts: Counts, done: bool) -> None:
        self.last_record = (chunk_index, attempt, counts, done)
        reply = self.store.record(self.job_id, chunk_index, attempt, counts, done=done)
        if self.chunks is None:
            assert reply is None
            return
        assert reply is self.cancelled
        old = self.chunks.get(chunk_index)
        if old is None or (not old[2] and attempt >= old[0]):
            self.chunks[chunk_index] = (attempt, counts, done)

    @precondition(lambda self: self.last_record is not None)
    @rule(times=st.integers(1, 3))
    def record_again(self, times: int) -> None:
        """A reply that was lost has the same words said once more; after a wipe they count for nothing."""
        assert self.last_record is not None
        for _ in range(times):
            self.record(*self.last_record)

    @rule(total=st.integers(0, CHUNKS * CHUNK_ROWS))
    def set_total(self, total: int) -> None:
        self.store.set_total(self.job_id, total)
        if self.chunks is not None:
            self.total = total

    @rule()
    def request_cancel(self) -> None:
        self.store.request_cancel(self.job_id)
        self.cancelled = True

    @rule()
    def clear(self) -> None:
        self.store.clear(self.job_id)
        self.chunks, self.total, self.cancelled = None, None, False

    @rule()
    def lose_everything(self) -> None:
        type(self).wipe(self.store, self.job_id)
        self.chunks, self.total, self.cancelled = None, None, False

    @invariant()
    def the_store_says_what_a_recount_says(self) -> None:
        snapshot = self.store.snapshot(self.job_id)
        if self.chunks is None:
            assert snapshot is None
            return
        assert snapshot is not None
        recount = sum((counts for _, counts, _ in self.chunks.values()), Counts())
        assert snapshot.counts == recount
        assert snapshot.counts.processed_rows <= CHUNKS * CHUNK_ROWS
        assert snapshot.total_rows == self.total
        assert snapshot.cancel_requested is self.cancelled


def run(make_store: Callable[[], ProgressStore], wipe: Callable[[Any, str], None]) -> None:
    machine = type("Machine", (ProgressMachine,), {"make_store": staticmethod(make_store), "wipe": staticmethod(wipe)})
    run_state_machine_as_test(
        machine,
        settings=examples(100),
    )


def test_memory_follows_the_model() -> None:
    run(MemoryProgress, lambda store, job_id: store.clear(job_id))


@pytest.mark.parametrize("command", ["FLUSHALL", "SCRIPT FLUSH"])
def test_redis_follows_the_model_also_when_it_is_wiped(own_valkey_url: str, command: str) -> None:
    store = RedisProgress.from_url(own_valkey_url, EngineConfig())
    with redis.Redis.from_url(own_valkey_url) as client:

        def wipe(_store: ProgressStore, job_id: str) -> None:
            client.execute_command(command)
            if command != "FLUSHALL":
                store.clear(job_id)

        run(lambda: store, wipe)
    store.close()

"""The order in which processes do what waits: all of it, the small first, the huge not starved."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LedgerUnavailableError
from engine.model import Turn
from engine.runtime.fair_steps import FairSteps
from engine.runtime.job_steps import JobSteps
from tests.readers.strategies import examples

#: As many chunks of a job wait in the queue at most.
WINDOW = 16


@dataclass
class FakeJob:
    """A job of some chunks that take as long each."""

    chunks: int
    seconds: float = 1.0
    is_planned: bool = False
    posted_at: float = 0.0
    sent_at: dict[int, float] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    ended_at: float | None = None


class World:
    """Jobs, a queue of messages in order, one process at work and the clock; `JobSteps` as `FairSteps` sees them."""

    def __init__(self, jobs: dict[str, FakeJob]) -> None:
        self.jobs = jobs
        self.now = 0.0
        self.queue: deque[Turn] = deque()
        self.ran: list[Turn] = []
        self.steps = FairSteps(cast("JobSteps", self), self.next_turn, clock=lambda: self.now)

    def post(self, job_id: str) -> None:
        self.jobs[job_id].posted_at = self.now
        self.queue.append(Turn(job_id=job_id, chunk_index=None))

    def work(self) -> None:
        """Take the next message."""
        message = self.queue.popleft()
        if message.chunk_index is None:
            self.steps.plan(message.job_id)
        else:
            self.steps.chunk(message.job_id, message.chunk_index)

    def next_turn(self, *, longest_waiting: bool) -> Turn | None:
        waiting: list[tuple[float, int, Turn]] = []
        for number, (job_id, job) in enumerate(self.jobs.items()):
            if not job.is_planned:
                place = job.posted_at if longest_waiting else 0
                waiting.append((place, number, Turn(job_id=job_id, chunk_index=None)))
            elif left := sorted(set(job.sent_at) - job.done):
                place = job.sent_at[left[0]] if longest_waiting else left[0]
                waiting.append((place, number, Turn(job_id=job_id, chunk_index=left[0])))
        return min(waiting, key=lambda each: each[:2])[2] if waiting else None

    # What `FairSteps` calls

    def plan(self, job_id: str) -> bool:
        job = self.jobs[job_id]
        if job.is_planned:
            return False
        self.now += 0.1
        job.is_planned = True
        self._send(job_id)
        return True

    def chunk(self, job_id: str, chunk_index: int) -> bool:
        job = self.jobs[job_id]
        if chunk_index in job.done or chunk_index not in job.sent_at:
            return False
        self.now += job.seconds
        job.done.add(chunk_index)
        self.ran.append(Turn(job_id=job_id, chunk_index=chunk_index))
        if len(job.done) == job.chunks:
            job.ended_at = self.now
        self._send(job_id)
        return True

    def _send(self, job_id: str) -> None:
        job = self.jobs[job_id]
        while len(job.sent_at) < job.chunks and len(job.sent_at) - len(job.done) < WINDOW:
            index = len(job.sent_at)
            self.queue.append(Turn(job_id=job_id, chunk_index=index))
            job.sent_at[index] = self.now


def test_small_jobs_behind_a_huge_one_end_as_if_it_were_hardly_there() -> None:
    world = World({"big": FakeJob(1_000, 5.0), **{f"small {n}": FakeJob(1, 1.0) for n in range(20)}})
    world.post("big")
    for _ in range(10):
        world.work()
    began = world.now
    for n in range(20):
        world.post(f"small {n}")
    while any(world.jobs[f"small {n}"].ended_at is None for n in range(20)):
        world.work()
    alone = 20 * 1.1
    # A third more for the big one's share, and a chunk of it that came too early.
    assert world.now - began <= alone * 4 / 3 + 5.0
    ends = [world.jobs[f"small {n}"].ended_at for n in range(20)]
    assert ends == sorted(cast("list[float]", ends)), "first come, first served among equals"


def test_a_stream_of_small_jobs_leaves_a_quarter_of_the_time_to_the_huge_one() -> None:
    names = [f"small {n}" for n in range(400)]
    world = World({"big": FakeJob(1_000, 5.0)})
    world.post("big")
    world.work()
    for name in names:  # always another one that waits
        world.jobs[name] = FakeJob(1, 1.0)
        world.post(name)
        world.work()
    seconds_of_big = 5.0 * sum(turn.job_id == "big" for turn in world.ran)
    assert 0.2 * world.now <= seconds_of_big <= 0.3 * world.now


@examples(100)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    copies=st.lists(st.integers(1, 3), min_size=1, max_size=10),
    seed=st.integers(0, 2**32),
)
def test_every_chunk_is_run_once_in_whatever_order_and_number_messages_come(
    sizes: list[int], copies: list[int], seed: int
) -> None:
    world = World({f"job {n}": FakeJob(size) for n, size in enumerate(sizes)})
    for job_id in world.jobs:
        world.post(job_id)
    number, order = 0, random.Random(seed)  # noqa: S311 - an order, no secret
    while world.queue:
        world.queue.rotate(order.randrange(len(world.queue)))
        number += 1
        world.queue.extend([world.queue[0]] * (copies[number % len(copies)] - 1) if number < 50 else [])
        world.work()
    expected = {(job_id, index) for job_id, job in world.jobs.items() for index in range(job.chunks)}
    ran = [(turn.job_id, turn.chunk_index) for turn in world.ran]
    assert len(ran) == len(set(ran))
    assert set(ran) == expected


def test_what_is_named_is_done_where_the_ledger_cannot_be_asked() -> None:
    world = World({"big": FakeJob(2)})

    def away(**_: bool) -> Turn | None:
        raise LedgerUnavailableError("away")

    world.steps = FairSteps(cast("JobSteps", world), away, clock=lambda: world.now)
    world.post("big")
    while world.queue:
        world.work()
    assert world.jobs["big"].done == {0, 1}


def test_a_message_that_came_before_is_obeyed_first() -> None:
    world = World({"big": FakeJob(30), "small": FakeJob(1)})
    world.post("big")
    world.work()
    world.post("small")
    world.steps.chunk("big", 3, is_repeated=True)
    assert world.ran == [Turn(job_id="big", chunk_index=3)]

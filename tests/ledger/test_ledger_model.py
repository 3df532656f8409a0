"""Any order of calls, by living, dead and silent owners, gives what a plain model gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.errors import LeaseLostError
from engine.model import Chunk, Claim, Counts
from engine.status import ChunkStatus, Phase, Status
from tests.ledger.builders import (
    LEASE_SECONDS,
    RESEND_SECONDS,
    Clock,
    Deaths,
    LedgerFactory,
    chunks,
    job,
    outcome,
    take_back,
)
from tests.readers.strategies import examples

ROWS = 10
CHUNKS = 4
OWNERS = st.sampled_from(["a", "b", "far"])
INDEXES = st.integers(0, CHUNKS - 1)
#: Which of two handles on the books is used.
HANDLES = st.integers(0, 1)


@dataclass
class ChunkModel:
    chunk: Chunk
    status: ChunkStatus = ChunkStatus.PLANNED
    attempt: int = 0
    token: str | None = None
    owner: str | None = None
    changed_at: float = 0.0
    sendings: int = 0
    watched: int | None = None
    suspect: int | None = None
    guilty: list[int] = field(default_factory=list)
    deaths: int = 0
    counts: Counts | None = None
    commits: int = 0

    def die(self) -> None:
        self.deaths += 1
        if self.watched is not None and self.watched not in self.guilty:
            if self.watched == self.suspect:
                self.guilty.append(self.watched)
                self.suspect = None
            else:
                self.suspect = self.watched
        self.watched = None


class LedgerMachine(RuleBasedStateMachine):
    ledger_factory: LedgerFactory
    #: Where all owners share a machine, one that lives for certain keeps its chunk however silent it is.
    keeps_living_owners: bool
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.deaths = Clock(), Deaths()
        self.deaths.unknown.add("far")
        self.ledgers = [type(self).ledger_factory(clock=self.clock, is_dead=self.deaths) for _ in range(2)]
        self.chunks: list[ChunkModel] = []
        self.takes_work = True
        self.cancel_requested = False
        self.tokens = 0
        self.generation = 0

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()

    @initialize()
    def create(self) -> None:
        new = job()
        self.job_id = new.job_id
        self.ledgers[0].create_job(new)
        assert self.ledgers[0].move_job(
            self.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=Phase.PROCESSING
        )

    @rule(ledger=HANDLES)
    def plan(self, ledger: int) -> None:
        """Scanning again makes the same chunks."""
        self.ledgers[ledger].add_chunks(self.job_id, chunks(CHUNKS, row_count=ROWS))
        self.chunks = self.chunks or [ChunkModel(chunk) for chunk in chunks(CHUNKS, row_count=ROWS)]

    @rule(ledger=HANDLES, most=st.integers(1, CHUNKS))
    def enlarge(self, ledger: int, most: int) -> None:
        """Chunks that were never begun take in those right behind them, up to `most` of the first cut."""
        heads: list[tuple[ChunkModel, list[ChunkModel]]] = []
        for model in self.chunks:
            if model.status not in (ChunkStatus.PLANNED, ChunkStatus.SENT) or model.attempt:
                continue
            rows = model.chunk.row_count
            if heads and _touch([heads[-1][0], *heads[-1][1]][-1].chunk, model.chunk):
                taken = sum(each.chunk.row_count for each in heads[-1][1])
                if heads[-1][0].chunk.row_count + taken + rows <= most * ROWS:
                    heads[-1][1].append(model)
                    continue
            heads.append((model, []))
        larger = [_whole(head.chunk, [each.chunk for each in taken]) for head, taken in heads if taken]
        seen: list[Chunk] = []

        def choose(waiting: Sequence[Chunk]) -> Sequence[Chunk]:
            seen.extend(waiting)
            return larger

        count = sum(len(taken) for _, taken in heads)
        assert self.ledgers[ledger].enlarge_chunks(self.job_id, choose) == count
        assert seen == [each.chunk for head, taken in heads for each in (head, *taken)]
        for (head, _), chunk in zip([pair for pair in heads if pair[1]], larger, strict=True):
            head.chunk = chunk
        for each in (each for _, taken in heads for each in taken):
            each.chunk = replace(each.chunk, byte_start=each.chunk.byte_end, row_count=0)
            each.status, each.counts = ChunkStatus.DONE, Counts()

    @rule(ledger=HANDLES, window=st.integers(0, CHUNKS + 1))
    def send(self, ledger: int, window: int) -> None:
        in_flight = [c for c in self.chunks if c.status in (ChunkStatus.SENT, ChunkStatus.LEASED)]
        planned = [index for index, c in enumerate(self.chunks) if c.status is ChunkStatus.PLANNED]
        expected = planned[: max(0, window - len(in_flight))]
        assert self.ledgers[ledger].send_chunks(self.job_id, window=window) == expected
        for index in expected:
            chunk = self.chunks[index]
            chunk.status, chunk.sendings, chunk.changed_at = ChunkStatus.SENT, 1, self.clock.now

    @rule(target=claims, ledger=HANDLES, index=INDEXES, owner=OWNERS, again=st.booleans())
    def claim(self, ledger: int, index: int, owner: str, again: bool) -> Claim | None:
        """A message arrives, maybe twice."""
        owner = f"{owner}{self.generation}" if owner != "far" else owner
        self.tokens += 1
        token = f"t{self.tokens}"
        found = self.ledgers[ledger].claim(self.job_id, index, owner=owner, token=token)
        default = ChunkModel(chunks(1)[0], status=ChunkStatus.DONE)
        chunk = self.chunks[index] if self.chunks else default
        is_dead = chunk.status is ChunkStatus.LEASED and chunk.owner in self.deaths.dead
        may = self.takes_work and not self.cancel_requested
        may = may and (chunk.status in (ChunkStatus.PLANNED, ChunkStatus.SENT) or is_dead)
        assert (found is not None) is may
        if found is None:
            return None
        if is_dead:
            chunk.die()
        chunk.status, chunk.token, chunk.owner, chunk.sendings = ChunkStatus.LEASED, token, owner, 0
        chunk.attempt, chunk.changed_at, chunk.watched = chunk.attempt + 1, self.clock.now, None
        assert found == Claim(
            job_id=self.job_id,
            chunk=chunk.chunk,
            attempt=chunk.attempt,
            token=token,
            deaths=chunk.deaths,
            suspect_row=chunk.suspect,
            guilty_rows=tuple(chunk.guilty),
        )
        if again:
            assert self.ledgers[ledger].claim(self.job_id, index, owner=owner, token=f"{token}-copy") is None
        return found

    def is_mine(self, claim: Claim) -> bool:
        chunk = self.chunks[claim.chunk.chunk_index]
        return chunk.status is ChunkStatus.LEASED and chunk.token == claim.token

    @rule(ledger=HANDLES, claim=claims)
    def heartbeat(self, ledger: int, claim: Claim | None) -> None:
        if claim is not None:
            assert self.ledgers[ledger].heartbeat(claim) is self.is_mine(claim)
            if self.is_mine(claim):
                self.chunks[claim.chunk.chunk_index].changed_at = self.clock.now

    @rule(ledger=HANDLES, claim=claims, offset=st.none() | st.integers(0, 2))
    def watch_row(self, ledger: int, claim: Claim | None, offset: int | None) -> None:
        if claim is None:
            return
        row_index = None if offset is None else claim.chunk.first_row_index + offset
        if self.is_mine(claim):
            self.ledgers[ledger].watch_row(claim, row_index)
            chunk = self.chunks[claim.chunk.chunk_index]
            chunk.watched, chunk.changed_at = row_index, self.clock.now
        else:
            with pytest.raises(LeaseLostError):
                self.ledgers[ledger].watch_row(claim, row_index)

    @rule(ledger=HANDLES, claim=claims, success=st.integers(0, ROWS))
    def commit(self, ledger: int, claim: Claim | None, success: int) -> None:
        """By right, or by an attempt that lost its lease and does not know."""
        if claim is None:
            return
        done = outcome(success, ROWS - success)
        if self.is_mine(claim):
            with self.ledgers[ledger].work(claim) as work:
                work.commit(done)
            chunk = self.chunks[claim.chunk.chunk_index]
            chunk.status, chunk.owner, chunk.counts = ChunkStatus.DONE, None, done.counts
            chunk.commits += 1
            assert chunk.commits == 1
        else:
            with pytest.raises(LeaseLostError), self.ledgers[ledger].work(claim) as work:
                work.commit(done)

    @rule(ledger=HANDLES, claim=consumes(claims), forget=st.booleans())
    def release(self, ledger: int, claim: Claim | None, forget: bool) -> None:
        if claim is None:
            return
        self.ledgers[ledger].release(claim, forget_deaths=forget)
        if self.is_mine(claim):
            chunk = self.chunks[claim.chunk.chunk_index]
            chunk.status, chunk.token, chunk.owner, chunk.watched = ChunkStatus.PLANNED, None, None, None
            chunk.attempt -= 1
            if forget:
                chunk.deaths, chunk.suspect = 0, None

    @rule(seconds=st.sampled_from([1.0, RESEND_SECONDS, LEASE_SECONDS, 4 * LEASE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def owners_die(self) -> None:
        """All that are near; those who come after them have other names."""
        self.deaths.dead |= {f"{name}{self.generation}" for name in "ab"}
        self.generation += 1

    @rule(ledger=HANDLES)
    def take_back(self, ledger: int) -> None:
        expected = []
        for index, chunk in enumerate(self.chunks):
            idle = self.clock.now - chunk.changed_at
            is_silent = idle >= LEASE_SECONDS and (chunk.owner == "far" or not self.keeps_living_owners)
            if chunk.status is ChunkStatus.LEASED and (chunk.owner in self.deaths.dead or is_silent):
                chunk.die()
            elif not (
                chunk.status is ChunkStatus.SENT and idle >= RESEND_SECONDS * min(16, 2 ** max(0, chunk.sendings - 1))
            ):
                continue
            chunk.status, chunk.token, chunk.owner = ChunkStatus.SENT, None, None
            chunk.sendings, chunk.changed_at = chunk.sendings + 1, self.clock.now
            expected.append(index)
        assert take_back(self.ledgers[ledger], self.job_id) == expected

    @rule(ledger=HANDLES)
    def ask_for_an_abandoned_chunk(self, ledger: int) -> None:
        left = (
            index
            for index, chunk in enumerate(self.chunks)
            if chunk.attempt
            and (
                chunk.status is ChunkStatus.SENT
                or (chunk.status is ChunkStatus.LEASED and chunk.owner in self.deaths.dead)
            )
        )
        assert self.ledgers[ledger].abandoned_chunk(self.job_id) == next(left, None)

    @rule(ledger=HANDLES)
    def request_cancel(self, ledger: int) -> None:
        assert self.ledgers[ledger].request_cancel(self.job_id)
        self.cancel_requested = True

    @precondition(lambda self: self.cancel_requested)
    @rule(ledger=HANDLES)
    def drop_chunks(self, ledger: int) -> None:
        self.ledgers[ledger].drop_chunks(self.job_id)
        for chunk in self.chunks:
            if chunk.status in (ChunkStatus.PLANNED, ChunkStatus.SENT):
                chunk.status = ChunkStatus.DROPPED

    @precondition(lambda self: self.chunks)
    @rule()
    def finish_by_two(self) -> None:
        if self.ledgers[0].unfinished_chunks(self.job_id):
            return
        won = [
            ledger.move_job(
                self.job_id,
                expected=[(Status.RUNNING, Phase.PROCESSING), (Status.RUNNING, Phase.CANCELLING)],
                status=Status.RUNNING,
                phase=Phase.MERGING,
                owner=f"caller-{number}",
            )
            for number, ledger in enumerate(self.ledgers)
        ]
        assert won == [self.takes_work, False]
        self.takes_work = False

    @invariant()
    def the_books_say_what_the_model_says(self) -> None:
        for ledger in self.ledgers if hasattr(self, "job_id") else []:
            states = list(ledger.chunk_states(self.job_id))
            assert [(state.status, state.attempt, state.owner) for state in states] == [
                (chunk.status, chunk.attempt, chunk.owner) for chunk in self.chunks
            ]
            assert [state.chunk for state in states] == [chunk.chunk for chunk in self.chunks]
            assert sum(state.chunk.row_count for state in states) == (CHUNKS * ROWS if states else 0)
            done = {index: chunk.counts for index, chunk in enumerate(self.chunks) if chunk.counts is not None}
            assert ledger.counts_by_chunk(self.job_id) == done
            assert ledger.counts(self.job_id) == sum(done.values(), Counts())
            assert [state.outcome and state.outcome.counts for state in states] == [c.counts for c in self.chunks]
            for first in range(CHUNKS):
                within = range(first, first + 2)
                there = [index for index in within if index < len(self.chunks)]
                come_to = ledger.done_outcomes(self.job_id, within)
                if all(index in done for index in there):
                    assert come_to is not None
                    assert [(index, outcome.counts) for index, outcome in come_to] == [(i, done[i]) for i in there]
                else:
                    assert come_to is None
            unfinished = [c for c in self.chunks if c.status not in (ChunkStatus.DONE, ChunkStatus.DROPPED)]
            assert ledger.unfinished_chunks(self.job_id) == len(unfinished)
            assert ledger.job(self.job_id).cancel_requested is self.cancel_requested


def _touch(chunk: Chunk, following: Chunk) -> bool:
    return chunk.byte_end == following.byte_start


def _whole(first: Chunk, others: Sequence[Chunk]) -> Chunk:
    every = [first, *others]
    return replace(
        first,
        byte_end=every[-1].byte_end,
        row_count=sum(chunk.row_count for chunk in every),
        irregular=any(chunk.irregular for chunk in every),
        crc32=4_000_000_000,
    )


def test_a_ledger_follows_the_model(ledger_factory: LedgerFactory, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["ledger_factory"]
    traits = {"ledger_factory": staticmethod(ledger_factory), "keeps_living_owners": name == "django_sqlite"}
    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), traits),
        # A statement of Django costs a hundred times one of the engine's own SQLite.
        settings=settings(examples(150 if name == "sqlite" else 25), stateful_step_count=40),
    )

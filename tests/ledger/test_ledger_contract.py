# ruff: noqa: S106, S107 - tokens are no passwords
"""What every Ledger does."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from engine.errors import JobNotFoundError, LeaseLostError, StatusTransitionError
from engine.ledger import Ledger
from engine.model import Chunk, Claim, Counts, ResultFiles
from engine.status import TRANSITIONS, ChunkStatus, Phase, Status
from tests.ledger.builders import (
    LEASE_SECONDS,
    NOW,
    RESEND_SECONDS,
    STORAGE_ROOT,
    Clock,
    Deaths,
    chunks,
    job,
    outcome,
    plan,
    source,
    start,
    take_back,
)


def claim(ledger: Ledger, job_id: str, index: int = 0, *, owner: str = "a", token: str = "t1") -> Claim:
    found = ledger.claim(job_id, index, owner=owner, token=token)
    assert found is not None
    return found


def commit(ledger: Ledger, claim: Claim, **counts: int) -> None:
    with ledger.work(claim) as work:
        work.commit(outcome(**counts))


def statuses(ledger: Ledger, job_id: str) -> list[ChunkStatus]:
    return [state.status for state in ledger.chunk_states(job_id)]


# Jobs


def test_a_job_comes_back_as_it_was_written(ledger: Ledger, other: Ledger) -> None:
    new = job(source=dataclasses.replace(source(), url=f"{STORAGE_ROOT}/ünï\n😀,\"'.csv"), handler_mode="batch")
    ledger.create_job(new)
    assert other.job(new.job_id) == new


def test_a_job_that_is_not_there_is_told_by_its_name(ledger: Ledger) -> None:
    for ask in (ledger.job, ledger.request_cancel):
        with pytest.raises(JobNotFoundError, match="no-such-job"):
            ask("no-such-job")


def test_jobs_are_listed_with_the_newest_first(ledger: Ledger) -> None:
    middle, old, new = (job(created_at=NOW - timedelta(days=days)) for days in (1, 2, 0))
    for each in (middle, old, new):
        ledger.create_job(each)
    assert [found.job_id for found in ledger.jobs()] == [new.job_id, middle.job_id, old.job_id]
    ledger.move_job(new.job_id, expected=[(Status.QUEUED, None)], status=Status.CANCELLED, phase=None)
    ledger.move_job(middle.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=Phase.SCANNING)
    assert [found.job_id for found in ledger.jobs(unfinished_only=True)] == [middle.job_id, old.job_id]


def test_a_plan_comes_back_as_it_was_written_and_a_repeat_overwrites_it(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    ledger.save_plan(job_id, dataclasses.replace(plan(), data_start=3))
    ledger.save_plan(job_id, plan())
    assert other.job(job_id).plan == plan()


def test_a_source_that_is_pinned_later_is_kept(ledger: Ledger, other: Ledger) -> None:
    new = job(source=dataclasses.replace(source(), size_bytes=0, etag=""))
    ledger.create_job(new)
    ledger.save_source(new.job_id, source(2_000))
    assert other.job(new.job_id) == dataclasses.replace(new, source=source(2_000))


def test_a_scan_that_another_has_taken_over_writes_nothing(ledger: Ledger, other: Ledger) -> None:
    new = job()
    ledger.create_job(new)
    moved: dict[str, Any] = {"status": Status.RUNNING, "phase": Phase.SCANNING}
    assert ledger.move_job(new.job_id, expected=[(Status.QUEUED, None)], owner="first", **moved)
    writes: list[Callable[[str], bool]] = [
        lambda scanner: ledger.save_source(new.job_id, source(2_000), scanner=scanner),
        lambda scanner: ledger.save_plan(new.job_id, plan(), scanner=scanner),
        lambda scanner: ledger.add_chunks(new.job_id, chunks(2), scanner=scanner),
    ]
    assert [write("second") for write in writes] == [False] * 3
    assert (other.job(new.job_id).source, other.job(new.job_id).plan) == (new.source, None)
    assert list(other.chunk_states(new.job_id)) == []
    assert [write("first") for write in writes] == [True] * 3
    assert (other.job(new.job_id).source, other.job(new.job_id).plan) == (source(2_000), plan())
    assert other.unfinished_chunks(new.job_id) == 2
    planned: dict[str, Any] = {"status": Status.RUNNING, "phase": Phase.PROCESSING, "total_rows": 20}
    assert ledger.move_job(new.job_id, expected=[(Status.RUNNING, Phase.SCANNING)], expected_owner="first", **planned)
    assert ledger.add_chunks(new.job_id, chunks(9), scanner="first") is False
    assert other.unfinished_chunks(new.job_id) == 2


def test_a_move_writes_its_changes_with_it(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    changes: dict[str, Any] = {
        "total_rows": 30,
        "started_at": NOW + timedelta(seconds=1),
        "finished_at": NOW + timedelta(seconds=2.5),
        "counts": Counts(success_count=20, failure_count=10),
        "forgiven": Counts(success_count=5, failure_count=7),
        "result_files": ResultFiles(
            success_url=f"{STORAGE_ROOT}/x/a.csv",
            failed_url=f"{STORAGE_ROOT}/x/b.csv",
            unprocessed_url=f"{STORAGE_ROOT}/x/c.csv",
        ),
        "error_code": "inconsistent",
        "error_message": "säid",
    }
    assert ledger.move_job(
        job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.FAILED, phase=None, **changes
    )
    found = other.job(job_id)
    assert (found.status, found.phase, found.owner) == (Status.FAILED, None, None)
    assert {name: getattr(found, name) for name in changes} == changes
    cleared = {"error_code": None, "error_message": None, "finished_at": None}
    ledger.move_job(job_id, expected=[(Status.FAILED, None)], status=Status.RUNNING, phase=Phase.PROCESSING, **cleared)
    assert {name: getattr(other.job(job_id), name) for name in cleared} == cleared


def test_a_move_changes_nothing_else(ledger: Ledger) -> None:
    job_id = start(ledger)
    with pytest.raises(KeyError, match="handler_path"):
        ledger.move_job(
            job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.FAILED, phase=None, handler_path="x"
        )
    assert ledger.job(job_id).status is Status.RUNNING


@pytest.mark.parametrize("old", Status)
@pytest.mark.parametrize("new", Status)
def test_only_moves_of_the_table_are_made(ledger: Ledger, old: Status, new: Status) -> None:
    job_id = job().job_id
    ledger.create_job(job(job_id=job_id))
    expected: list[tuple[Status, Phase | None]] = [(old, None)]
    if old is new:
        return
    if (old, new) in TRANSITIONS:
        assert ledger.move_job(job_id, expected=expected, status=new, phase=None) is (old is Status.QUEUED)
    else:
        with pytest.raises(StatusTransitionError, match=f"{old} and cannot become {new}"):
            ledger.move_job(job_id, expected=expected, status=new, phase=None)
        assert ledger.job(job_id).status is Status.QUEUED


def test_of_two_callers_of_a_move_one_does_it(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)

    def finish(books: Ledger) -> bool:
        return books.move_job(
            job_id,
            expected=[(Status.RUNNING, Phase.PROCESSING), (Status.RUNNING, Phase.CANCELLING)],
            status=Status.RUNNING,
            phase=Phase.MERGING,
            owner="x",
        )

    assert [finish(ledger), finish(other), finish(ledger)] == [True, False, False]


def test_a_move_of_a_job_that_is_not_there_does_nothing(ledger: Ledger) -> None:
    assert not ledger.move_job("x", expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=None)


@pytest.mark.parametrize(
    ("present", "expected", "moves"),
    [
        ("a", None, True),
        (None, None, True),
        ("a", "a", True),
        ("b", "a", False),
        (None, "a", False),
        (None, "", True),
        ("a", "", False),
    ],
)
def test_a_move_can_ask_for_the_present_owner(
    ledger: Ledger, present: str | None, expected: str | None, moves: bool
) -> None:
    job_id = job().job_id
    ledger.create_job(job(job_id=job_id))
    scanning = (Status.RUNNING, Phase.SCANNING)
    ledger.move_job(job_id, expected=[(Status.QUEUED, None)], status=scanning[0], phase=scanning[1], owner=present)
    moved = ledger.move_job(
        job_id, expected=[scanning], expected_owner=expected, status=Status.RUNNING, phase=Phase.SCANNING, owner="new"
    )
    assert moved is moves
    assert ledger.job(job_id).owner == ("new" if moves else present)


def test_a_heartbeat_counts_for_its_owner_only(ledger: Ledger, clock: Clock) -> None:
    job_id = start(ledger)
    ledger.move_job(
        job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.RUNNING, phase=Phase.MERGING, owner="a"
    )
    clock.advance(5)
    ledger.job_heartbeat(job_id, "b")
    assert ledger.job(job_id).seconds_since_heartbeat == pytest.approx(5)
    ledger.job_heartbeat(job_id, "a")
    assert ledger.job(job_id).seconds_since_heartbeat == 0


def test_a_clock_that_goes_back_makes_no_negative_ages(ledger: Ledger, clock: Clock) -> None:
    job_id = start(ledger)
    claim(ledger, job_id)
    clock.advance(-3600)
    assert ledger.job(job_id).seconds_since_heartbeat == 0
    assert [state.seconds_since_change >= 0 for state in ledger.chunk_states(job_id)] == [True] * 3
    assert take_back(ledger, job_id) == []


def test_a_cancel_can_be_asked_for_again_until_the_job_has_ended(ledger: Ledger) -> None:
    job_id = start(ledger)
    assert not ledger.job(job_id).cancel_requested
    assert [ledger.request_cancel(job_id), ledger.request_cancel(job_id)] == [True, True]
    assert ledger.job(job_id).cancel_requested
    ledger.move_job(
        job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.CANCELLED, phase=None, counts=Counts()
    )
    assert ledger.request_cancel(job_id) is False


def test_a_paused_job_gives_no_claims_until_it_may_go_on(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    held = claim(ledger, job_id, 0)
    assert ledger.send_chunks(job_id, window=2) == [1]
    assert [ledger.set_paused(job_id, True), ledger.set_paused(job_id, True)] == [True, True]
    assert other.job(job_id).paused
    assert other.claim(job_id, 1, owner="o", token="t") is None
    commit(ledger, held)
    assert statuses(ledger, job_id) == [ChunkStatus.DONE, ChunkStatus.SENT, ChunkStatus.PLANNED]
    assert ledger.set_paused(job_id, False)
    # Its message may have come while nobody could begin it.
    assert statuses(ledger, job_id) == [ChunkStatus.DONE, ChunkStatus.PLANNED, ChunkStatus.PLANNED]
    assert other.send_chunks(job_id, window=9) == [1, 2]
    claim(other, job_id, 1)


def test_a_job_that_has_ended_is_not_paused(ledger: Ledger) -> None:
    job_id = start(ledger)
    ledger.move_job(job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.SUCCEEDED, phase=None)
    assert ledger.set_paused(job_id, True) is False
    assert not ledger.job(job_id).paused
    with pytest.raises(JobNotFoundError):
        ledger.set_paused("none", True)


def test_a_job_that_has_its_error_gives_no_claims(ledger: Ledger) -> None:
    job_id = start(ledger)
    moved = [(Status.RUNNING, Phase.PROCESSING)]
    ledger.move_job(job_id, expected=moved, status=Status.RUNNING, phase=Phase.PROCESSING, error_code="full")
    assert ledger.claim(job_id, 0, owner="o", token="t") is None


# Chunks


def test_dropped_chunks_are_planned_again(ledger: Ledger) -> None:
    job_id = start(ledger)
    commit(ledger, claim(ledger, job_id, 1))
    ledger.drop_chunks(job_id)
    assert (ledger.begun_chunks(job_id), ledger.unfinished_chunks(job_id)) == (1, 0)
    ledger.restore_chunks(job_id)
    assert statuses(ledger, job_id) == [ChunkStatus.PLANNED, ChunkStatus.DONE, ChunkStatus.PLANNED]
    claim(ledger, job_id, 0)
    assert ledger.begun_chunks(job_id) == 2


def test_messages_are_summed_over_committed_chunks(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    assert ledger.messages(job_id) == {}
    for index, messages in enumerate([{"no email": 2, "späte \\0 Zeile": 1}, {"no email": 3}]):
        done = dataclasses.replace(outcome(7, 3), messages=messages)
        held = claim(ledger, job_id, index)
        with ledger.work(held) as work:
            work.commit(done)
    claim(ledger, job_id, 2)
    assert list(other.messages(job_id).items()) == [("no email", 5), ("späte \\0 Zeile", 1)]


def test_chunks_come_back_as_they_were_planned(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger, chunk_count=3)
    assert [state.chunk for state in other.chunk_states(job_id)] == chunks(3)
    assert statuses(other, job_id) == [ChunkStatus.PLANNED] * 3
    assert other.unfinished_chunks(job_id) == 3


def test_many_chunks_come_back_in_order(ledger: Ledger) -> None:
    job_id = start(ledger, chunk_count=2_345)
    assert [state.chunk.chunk_index for state in ledger.chunk_states(job_id)] == list(range(2_345))


def test_chunks_that_are_there_already_stay_as_they_are(ledger: Ledger) -> None:
    job_id = start(ledger, chunk_count=2)
    commit(ledger, claim(ledger, job_id, 0))
    claim(ledger, job_id, 1)
    ledger.add_chunks(job_id, chunks(3))
    assert statuses(ledger, job_id) == [ChunkStatus.DONE, ChunkStatus.LEASED, ChunkStatus.PLANNED]


def test_jobs_do_not_see_each_others_chunks(ledger: Ledger) -> None:
    first, second = start(ledger, chunk_count=2), start(ledger, chunk_count=2)
    commit(ledger, claim(ledger, first, 0))
    ledger.drop_chunks(first)
    assert statuses(ledger, second) == [ChunkStatus.PLANNED] * 2
    assert ledger.counts(second) == Counts()
    assert ledger.send_chunks(second, window=9) == [0, 1]


def test_chunks_are_sent_in_order_and_once_until_the_window_is_full(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger, chunk_count=6)
    assert ledger.send_chunks(job_id, window=2) == [0, 1]
    assert other.send_chunks(job_id, window=2) == []
    claim(ledger, job_id, 0)
    assert other.send_chunks(job_id, window=2) == []
    commit(ledger, claim(ledger, job_id, 1))
    assert other.send_chunks(job_id, window=3) == [2, 3]
    assert ledger.send_chunks(job_id, window=1) == []
    assert ledger.send_chunks(job_id, window=0) == []


def test_a_claim_in_the_middle_of_an_enlargement_gets_the_larger_chunk_or_nothing(
    ledger: Ledger, other: Ledger
) -> None:
    job_id = start(ledger, chunk_count=4)
    first, second, third, _ = chunks(4)
    larger = dataclasses.replace(first, byte_end=second.byte_end, row_count=first.row_count + second.row_count)
    claims: list[Future[Claim | None]] = []

    def take(index: int) -> Claim | None:
        try:
            return other.claim(job_id, index, owner="b", token=f"t{index}")
        finally:
            connections.close_all()  # those of this thread

    with ThreadPoolExecutor(3) as threads:

        def enlarge(waiting: Sequence[Chunk]) -> Sequence[Chunk]:
            assert list(waiting) == chunks(4)
            claims.extend(threads.submit(take, index) for index in range(3))
            time.sleep(0.3)  # they have begun by now, and wait
            return [larger]

        assert ledger.enlarge_chunks(job_id, enlarge) == 1
        found = [each.result() for each in claims]
    assert [each and each.chunk for each in found] == [larger, None, third]


def test_a_claim_counts_the_attempt_and_leases_the_chunk(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    ledger.send_chunks(job_id, window=1)
    assert claim(ledger, job_id) == Claim(job_id=job_id, chunk=chunks(1)[0], attempt=1, token="t1")
    state = next(iter(other.chunk_states(job_id)))
    assert (state.status, state.attempt, state.owner, state.outcome) == (ChunkStatus.LEASED, 1, "a", None)
    assert other.claim(job_id, 0, owner="b", token="t2") is None
    assert other.claim(job_id, 0, owner="a", token="t2") is None


def test_what_is_not_there_cannot_be_claimed(ledger: Ledger) -> None:
    job_id = start(ledger)
    assert ledger.claim(job_id, 99, owner="a", token="t") is None
    assert ledger.claim("no-such-job", 0, owner="a", token="t") is None


def test_a_done_or_dropped_chunk_cannot_be_claimed(ledger: Ledger) -> None:
    job_id = start(ledger, chunk_count=2)
    commit(ledger, claim(ledger, job_id, 0))
    ledger.drop_chunks(job_id)
    for index in (0, 1):
        assert ledger.claim(job_id, index, owner="b", token="t2") is None
    assert statuses(ledger, job_id) == [ChunkStatus.DONE, ChunkStatus.DROPPED]
    assert ledger.unfinished_chunks(job_id) == 0


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (Status.RUNNING, Phase.CANCELLING),
        (Status.RUNNING, Phase.MERGING),
        (Status.FAILED, None),
        (Status.CANCELLED, None),
        (Status.SUCCEEDED, None),
    ],
)
def test_a_job_that_takes_no_work_gives_no_claims(ledger: Ledger, status: Status, phase: Phase | None) -> None:
    job_id = start(ledger)
    ledger.move_job(job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=status, phase=phase)
    assert ledger.claim(job_id, 0, owner="a", token="t") is None


def test_a_queued_job_gives_no_claims_but_a_scanned_one_does(ledger: Ledger) -> None:
    queued = job()
    ledger.create_job(queued)
    ledger.add_chunks(queued.job_id, chunks(1))
    assert ledger.claim(queued.job_id, 0, owner="a", token="t") is None
    scanned = start(ledger, phase=Phase.SCANNING)
    assert ledger.claim(scanned, 0, owner="a", token="t") is not None


def test_a_requested_cancel_stops_claims_at_once(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    other.request_cancel(job_id)
    assert ledger.claim(job_id, 0, owner="a", token="t") is None


def test_a_commit_is_counted_once(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    mine = claim(ledger, job_id)
    commit(ledger, mine, success=7, failure=3)
    with pytest.raises(LeaseLostError) as caught:
        commit(other, mine, success=10)
    assert (caught.value.job_id, caught.value.chunk_index, caught.value.attempt) == (job_id, 0, 1)
    assert other.counts(job_id) == Counts(success_count=7, failure_count=3)
    assert other.counts_by_chunk(job_id) == {0: Counts(success_count=7, failure_count=3)}
    state = next(iter(other.chunk_states(job_id)))
    assert (state.status, state.owner, state.outcome) == (ChunkStatus.DONE, None, outcome(7, 3))
    assert other.outcome(job_id, 0) == outcome(7, 3)


def test_a_chunk_has_no_outcome_before_it_is_committed(ledger: Ledger) -> None:
    job_id = start(ledger)
    assert ledger.outcome(job_id, 0) is None
    claim(ledger, job_id, 0)
    assert ledger.outcome(job_id, 0) is None
    assert ledger.outcome(job_id, 999) is None


def test_outcomes_of_some_chunks_are_given_once_all_of_them_are_there(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger, chunk_count=4)
    for index in (2, 1):
        assert other.done_outcomes(job_id, range(1, 3)) is None
        commit(ledger, claim(ledger, job_id, index), success=index, failure=7)
    assert other.done_outcomes(job_id, range(1, 3)) == [(1, outcome(1, 7)), (2, outcome(2, 7))]
    assert other.done_outcomes(job_id, range(1, 4)) is None
    ledger.drop_chunks(job_id)
    assert other.done_outcomes(job_id, range(4)) is None
    assert other.done_outcomes(job_id, range(4, 8)) == []


def test_an_outcome_without_parts_comes_back_without_them(ledger: Ledger) -> None:
    job_id = start(ledger)
    for index, (success, failure) in enumerate([(0, 10), (10, 0), (0, 0)]):
        commit(ledger, claim(ledger, job_id, index), success=success, failure=failure)
    found = [state.outcome for state in ledger.chunk_states(job_id)]
    assert found == [outcome(0, 10), outcome(10, 0), outcome(0, 0)]


def test_work_that_ends_by_an_error_commits_nothing(ledger: Ledger) -> None:
    job_id = start(ledger)
    mine = claim(ledger, job_id)
    with pytest.raises(ZeroDivisionError), ledger.work(mine):
        raise ZeroDivisionError
    assert statuses(ledger, job_id)[0] is ChunkStatus.LEASED
    commit(ledger, mine)


def test_a_commit_after_the_job_has_failed_is_kept(ledger: Ledger) -> None:
    job_id = start(ledger)
    mine = claim(ledger, job_id)
    ledger.move_job(job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.FAILED, phase=None)
    commit(ledger, mine)
    assert ledger.counts(job_id).processed_rows == 10


def test_a_released_chunk_is_as_if_it_had_not_been_claimed(ledger: Ledger, other: Ledger) -> None:
    job_id = start(ledger)
    mine = claim(ledger, job_id)
    ledger.release(mine)
    assert statuses(ledger, job_id)[0] is ChunkStatus.PLANNED
    assert not ledger.heartbeat(mine)
    with pytest.raises(LeaseLostError):
        commit(ledger, mine)
    assert other.send_chunks(job_id, window=1) == [0]
    assert claim(other, job_id, owner="b", token="t2").attempt == 1


def test_a_release_of_what_another_holds_does_nothing(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    old = claim(ledger, job_id)
    deaths.dead.add("a")
    new = claim(ledger, job_id, owner="b", token="t2")
    ledger.release(old)
    assert ledger.heartbeat(new)
    commit(ledger, new)
    ledger.release(new)
    assert statuses(ledger, job_id)[0] is ChunkStatus.DONE


# Leases


def test_a_chunk_of_a_dead_owner_can_be_claimed_at_once(ledger: Ledger, other: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    old = claim(ledger, job_id)
    deaths.dead.add("a")
    new = claim(other, job_id, owner="b", token="t2")
    assert (new.attempt, new.deaths) == (2, 1)
    assert not ledger.heartbeat(old)
    with pytest.raises(LeaseLostError):
        ledger.watch_row(old, 3)
    with pytest.raises(LeaseLostError):
        commit(ledger, old)
    commit(other, new)


def test_a_chunk_of_an_owner_who_may_live_cannot_be_claimed(ledger: Ledger, deaths: Deaths, clock: Clock) -> None:
    job_id = start(ledger)
    claim(ledger, job_id)
    deaths.unknown.add("a")
    clock.advance(1_000_000)
    assert ledger.claim(job_id, 0, owner="b", token="t2") is None


def test_chunks_of_dead_and_of_silent_owners_are_taken_back(
    ledger: Ledger, other: Ledger, deaths: Deaths, clock: Clock
) -> None:
    job_id = start(ledger, chunk_count=4)
    ledger.send_chunks(job_id, window=4)
    kept = claim(ledger, job_id, 0, owner="lives")
    dead = claim(ledger, job_id, 1, owner="dies")
    silent = claim(ledger, job_id, 2, owner="silent")
    deaths.dead.add("dies")
    deaths.unknown.add("silent")
    assert take_back(other, job_id) == [1]
    clock.advance(LEASE_SECONDS - 1)
    assert ledger.heartbeat(kept)
    commit(ledger, claim(ledger, job_id, 3, owner="lives"))
    assert ledger.heartbeat(silent)
    clock.advance(LEASE_SECONDS)
    assert ledger.heartbeat(kept)
    assert take_back(other, job_id) == [1, 2]
    for lost in (dead, silent):
        assert not ledger.heartbeat(lost)
        with pytest.raises(LeaseLostError):
            commit(ledger, lost)
    commit(ledger, kept)
    assert [claim(ledger, job_id, index, token="new").deaths for index in (1, 2)] == [1, 1]


def test_a_heartbeat_keeps_a_lease_and_so_does_a_watched_row(ledger: Ledger, clock: Clock) -> None:
    job_id = start(ledger, chunk_count=2)
    first, second = claim(ledger, job_id, 0), claim(ledger, job_id, 1)
    for row_index in range(11, 16):
        clock.advance(LEASE_SECONDS - 1)
        assert ledger.heartbeat(first)
        ledger.watch_row(second, row_index)
        assert take_back(ledger, job_id) == []


def test_a_message_that_is_not_picked_up_is_sent_again_and_ever_less_often(ledger: Ledger, clock: Clock) -> None:
    job_id = start(ledger, chunk_count=2)
    ledger.send_chunks(job_id, window=1)
    sent_after: list[float] = []
    waited = 0.0
    while len(sent_after) < 7:
        clock.advance(1.0)
        waited += 1.0
        if take_back(ledger, job_id) == [0]:
            sent_after.append(waited / RESEND_SECONDS)
            waited = 0.0
    assert [math.floor(factor) for factor in sent_after] == [1, 2, 4, 8, 16, 16, 16]
    # A claim begins it anew.
    ledger.release(claim(ledger, job_id))
    assert ledger.send_chunks(job_id, window=1) == [0]
    clock.advance(RESEND_SECONDS)
    assert take_back(ledger, job_id) == [0]


def test_a_chunk_taken_back_is_in_flight(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger, chunk_count=3)
    ledger.send_chunks(job_id, window=1)
    claim(ledger, job_id)
    deaths.dead.add("a")
    assert take_back(ledger, job_id) == [0]
    assert ledger.send_chunks(job_id, window=1) == []


@pytest.mark.parametrize("ledger_factory", ["django_postgresql"], indirect=True)
def test_a_look_at_what_is_lost_costs_no_message_that_is_picked_up_meanwhile(
    ledger: Ledger, other: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim passes over a chunk that is locked, so that a look which locked all of them would use messages up."""
    job_id = start(ledger, chunk_count=3)
    ledger.send_chunks(job_id, window=3)
    claim(ledger, job_id, 0, owner="dies")
    claimed: list[Claim | None] = []

    def is_dead(owner: str) -> bool:
        # In the middle of the look of `ledger`.
        if not claimed:
            claimed.append(other.claim(job_id, 1, owner="b", token="t2"))
        return True

    monkeypatch.setattr(ledger, "_is_dead", is_dead)
    assert take_back(ledger, job_id) == [0]
    assert claimed[0] is not None


def test_a_chunk_that_a_process_died_on_is_told_until_it_is_run_again(
    ledger: Ledger, other: Ledger, deaths: Deaths
) -> None:
    job_id = start(ledger, chunk_count=4)
    ledger.send_chunks(job_id, window=4)
    claim(ledger, job_id, 0, owner="lives")
    commit(ledger, claim(ledger, job_id, 1, owner="dies"))
    ledger.release(claim(ledger, job_id, 2, owner="gives it back"))
    claim(ledger, job_id, 3, owner="dies")
    assert other.abandoned_chunk(job_id) is None
    deaths.dead.add("dies")
    assert other.abandoned_chunk(job_id) == 3
    assert take_back(other, job_id) == [3]
    assert ledger.abandoned_chunk(job_id) == 3
    claim(other, job_id, 3, owner="lives", token="t2")
    assert ledger.abandoned_chunk(job_id) is None
    assert ledger.abandoned_chunk("no such job") is None


def test_every_message_can_be_sent_again_at_once(ledger: Ledger) -> None:
    job_id = start(ledger, chunk_count=3)
    ledger.send_chunks(job_id, window=2)
    assert ledger.take_back(job_id, lease_seconds=LEASE_SECONDS, resend_after_seconds=0) == [0, 1]


# Rows that kill


def die(ledger: Ledger, deaths: Deaths, job_id: str, *, at_row: int | None, number: int) -> Claim:
    """An attempt whose process dies while the row runs; gives the claim it had."""
    owner = f"dies-{number}"
    found = claim(ledger, job_id, owner=owner, token=owner)
    if at_row is not None:
        ledger.watch_row(found, at_row)
    deaths.dead.add(owner)
    if number % 2:
        assert take_back(ledger, job_id) == [0]
    return found


def seen(claim: Claim) -> tuple[int, int | None, tuple[int, ...]]:
    return claim.deaths, claim.suspect_row, claim.guilty_rows


def test_a_row_on_which_two_processes_died_is_guilty(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    rows = [None, None, 5, 5, 7, 9, 9, 7, 7]
    found = [seen(die(ledger, deaths, job_id, at_row=row, number=number)) for number, row in enumerate(rows)]
    assert found == [
        (0, None, ()),
        (1, None, ()),
        (2, None, ()),
        (3, 5, ()),
        (4, None, (5,)),
        (5, 7, (5,)),
        (6, 9, (5,)),
        (7, None, (5, 9)),
        (8, 7, (5, 9)),
    ]
    assert seen(claim(ledger, job_id, token="last")) == (9, None, (5, 9, 7))


def test_a_death_at_a_guilty_row_has_another_cause(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    for number, row in enumerate([5, 5, 5, 5]):
        die(ledger, deaths, job_id, at_row=row, number=number)
    assert seen(claim(ledger, job_id)) == (4, None, (5,))


def test_a_death_between_rows_is_no_rows_fault(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    for number in range(4):
        owner = f"dies-{number}"
        found = claim(ledger, job_id, owner=owner, token=owner)
        ledger.watch_row(found, 10)
        ledger.watch_row(found, None)
        deaths.dead.add(owner)
    assert seen(claim(ledger, job_id)) == (4, None, ())


def test_a_death_before_the_first_row_is_not_the_fault_of_an_earlier_attempts_row(
    ledger: Ledger, deaths: Deaths
) -> None:
    job_id = start(ledger)
    found = [seen(die(ledger, deaths, job_id, at_row=row, number=number)) for number, row in enumerate([5, None, 5])]
    assert found == [(0, None, ()), (1, 5, ()), (2, 5, ())]
    assert seen(claim(ledger, job_id)) == (3, None, (5,))


def test_a_release_keeps_what_is_known_of_deaths_unless_told_to_forget(ledger: Ledger, deaths: Deaths) -> None:
    job_id = start(ledger)
    for number, row in enumerate([5, 5, 6]):
        die(ledger, deaths, job_id, at_row=row, number=number)
    kept = claim(ledger, job_id)
    ledger.watch_row(kept, 8)
    ledger.release(kept)
    again = claim(ledger, job_id)
    assert seen(again) == seen(kept) == (3, 6, (5,))
    ledger.release(again, forget_deaths=True)
    assert seen(claim(ledger, job_id)) == (0, None, (5,))

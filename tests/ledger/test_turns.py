# ruff: noqa: S106 - tokens are no passwords
"""Whose turn it is among the jobs of a ledger, whichever it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.errors import SourceChangedError
from engine.ledger import Ledger
from engine.model import Turn
from engine.status import Phase, Status
from tests.ledger.builders import NOW, Clock, chunks, job, outcome


def queued(ledger: Ledger, minute: int) -> str:
    """A job of that minute, later ones behind it."""
    new = job(created_at=NOW + timedelta(minutes=minute))
    ledger.create_job(new)
    return new.job_id


def running(ledger: Ledger, minute: int, *, sent: int, phase: Phase = Phase.PROCESSING) -> str:
    """A job with twice as many chunks as were sent."""
    job_id = queued(ledger, minute)
    ledger.add_chunks(job_id, chunks(2 * sent))
    assert ledger.move_job(job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=phase)
    assert len(ledger.send_chunks(job_id, window=sent)) == sent
    return job_id


def run(ledger: Ledger, turn: Turn) -> None:
    assert turn.chunk_index is not None
    claim = ledger.claim(turn.job_id, turn.chunk_index, owner="a", token="t")
    assert claim is not None
    with ledger.work(claim) as work:
        work.commit(outcome())


def take(ledger: Ledger) -> Turn:
    """Claim what is due."""
    turn = ledger.next_turn()
    assert turn is not None
    assert turn.chunk_index is not None
    assert ledger.claim(turn.job_id, turn.chunk_index, owner="a", token="t") is not None
    return turn


def test_nothing_is_due_where_there_is_no_job_or_none_that_waits(ledger: Ledger) -> None:
    assert ledger.next_turn() is None
    job_id = running(ledger, 0, sent=1)
    assert take(ledger) == Turn(job_id=job_id, chunk_index=0)
    # The second chunk is planned and not sent: it has no message yet.
    assert ledger.next_turn() is None


def test_a_queued_job_is_planned_before_a_job_that_is_far_goes_on(ledger: Ledger) -> None:
    big = running(ledger, 0, sent=3)
    run(ledger, Turn(job_id=big, chunk_index=0))
    small = queued(ledger, 1)
    assert ledger.next_turn() == Turn(job_id=small, chunk_index=None)


def test_what_was_begun_ends_before_the_next_is_planned(ledger: Ledger) -> None:
    first, second = running(ledger, 0, sent=1), queued(ledger, 1)
    assert take(ledger) == Turn(job_id=first, chunk_index=0)
    assert ledger.next_turn() == Turn(job_id=second, chunk_index=None)


def test_jobs_with_fewer_chunks_in_hand_go_first_then_those_nearer_their_start_then_older_ones(
    ledger: Ledger,
) -> None:
    old, young = running(ledger, 0, sent=4), running(ledger, 1, sent=4)
    # One chunk in hand each; then the older again, as both are at the same place.
    assert [take(ledger) for _ in range(4)] == [
        Turn(job_id=old, chunk_index=0),
        Turn(job_id=young, chunk_index=0),
        Turn(job_id=old, chunk_index=1),
        Turn(job_id=young, chunk_index=1),
    ]
    newest = running(ledger, 2, sent=1)
    assert ledger.next_turn() == Turn(job_id=newest, chunk_index=0)


def test_what_has_waited_longest_is_told_by_the_time_of_its_message(ledger: Ledger, clock: Clock) -> None:
    clock.advance(10)
    big = running(ledger, 0, sent=3)
    clock.advance(10)
    small = running(ledger, 0, sent=1)
    assert ledger.next_turn(longest_waiting=True) == Turn(job_id=big, chunk_index=0)
    run(ledger, Turn(job_id=big, chunk_index=0))
    assert ledger.next_turn() == Turn(job_id=small, chunk_index=0)
    assert ledger.next_turn(longest_waiting=True) == Turn(job_id=big, chunk_index=1)
    older = queued(ledger, -5)
    assert ledger.next_turn(longest_waiting=True) == Turn(job_id=older, chunk_index=None)


def test_chunks_of_a_scan_that_goes_on_are_due_too(ledger: Ledger) -> None:
    job_id = running(ledger, 0, sent=1, phase=Phase.SCANNING)
    assert ledger.next_turn() == Turn(job_id=job_id, chunk_index=0)


@pytest.mark.parametrize("state", ["paused", "cancelled", "failing", "merging", "ended"])
def test_a_job_that_takes_no_work_is_never_due(ledger: Ledger, state: str) -> None:
    job_id = running(ledger, 0, sent=2)
    here = [(Status.RUNNING, Phase.PROCESSING)]
    if state == "paused":
        ledger.set_paused(job_id, True)
    elif state == "cancelled":
        ledger.request_cancel(job_id)
    elif state == "failing":
        code = SourceChangedError.code
        ledger.move_job(job_id, expected=here, status=Status.RUNNING, phase=Phase.PROCESSING, error_code=code)
    elif state == "merging":
        ledger.move_job(job_id, expected=here, status=Status.RUNNING, phase=Phase.MERGING)
    else:
        ledger.move_job(job_id, expected=here, status=Status.SUCCEEDED, phase=None)
    assert ledger.next_turn() is None
    assert ledger.claim(job_id, 0, owner="a", token="t") is None


def test_a_paused_job_is_not_planned_in_anothers_turn(ledger: Ledger) -> None:
    job_id = queued(ledger, 0)
    ledger.set_paused(job_id, True)
    assert ledger.next_turn() is None
    ledger.set_paused(job_id, False)
    assert ledger.next_turn() == Turn(job_id=job_id, chunk_index=None)

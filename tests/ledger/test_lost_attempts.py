"""A chunk whose attempts lose their transaction again and again comes to an end, in whichever processes they run."""

from __future__ import annotations

import pytest
from django.db import connections

from django_integration.imports.ledger import attempts
from engine.errors import LedgerError, LedgerUnavailableError
from engine.guard import TransactionLostError
from engine.ledger import Ledger
from engine.model import Claim
from tests.ledger.builders import Clock, Deaths, LedgerFactory, outcome, start

DJANGO = pytest.mark.parametrize("ledger_factory", ["django_postgresql"], indirect=True)


def claimed(ledger: Ledger, job_id: str, owner: str) -> Claim:
    claim = ledger.claim(job_id, 0, owner=owner, token=owner)
    assert claim is not None
    return claim


def lose(factory: LedgerFactory, job_id: str) -> tuple[type[LedgerError], bool]:
    """An attempt of a process of its own: how it ends, and whether its rows might give way to others."""
    ledger = factory(clock=Clock(), is_dead=Deaths())
    claim = claimed(ledger, job_id, "host/1/a")
    may_give_way = False
    try:
        with ledger.work(claim) as work:
            may_give_way = work.row_guard._may_give_way  # type: ignore[union-attr]
            raise TransactionLostError("gone")
    except LedgerError as error:
        ledger.release(claim)
        ledger.send_chunks(job_id, window=8)
        return type(error), may_give_way
    finally:
        ledger.close()
    raise AssertionError("unreachable")


@DJANGO
def test_processes_that_end_after_one_task_do_not_try_for_ever(
    ledger_factory: LedgerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_LOST_ATTEMPTS_OF_ALL", 4)
    ledger = ledger_factory(clock=Clock(), is_dead=Deaths())
    job_id = start(ledger, chunk_count=1)
    ledger.send_chunks(job_id, window=8)
    ends = [lose(ledger_factory, job_id) for _ in range(8)]
    # One that is resumed has as many again.
    assert ends == ([(LedgerUnavailableError, True)] * 3 + [(LedgerError, False)]) * 2


@DJANGO
def test_a_process_that_ends_a_job_by_it_begins_anew_when_that_is_resumed(ledger_factory: LedgerFactory) -> None:
    ledger = ledger_factory(clock=Clock(), is_dead=Deaths())
    job_id = start(ledger, chunk_count=1)
    ledger.send_chunks(job_id, window=8)
    ends = [lose(lambda **_: ledger, job_id) for _ in range(12)]
    assert ends == ([(LedgerUnavailableError, True)] * 5 + [(LedgerError, False)]) * 2


@DJANGO
def test_attempts_that_are_given_back_or_die_are_not_among_them(
    ledger_factory: LedgerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_LOST_ATTEMPTS_OF_ALL", 2)
    deaths = Deaths()
    ledger = ledger_factory(clock=Clock(), is_dead=deaths)
    job_id = start(ledger, chunk_count=1)
    ledger.send_chunks(job_id, window=8)
    ledger.release(claimed(ledger, job_id, "host/stopped/a"))
    ledger.send_chunks(job_id, window=8)
    claimed(ledger, job_id, "host/killed/a")
    deaths.dead.add("host/killed/a")
    ledger.release(claimed(ledger, job_id, "host/after/a"))
    ledger.send_chunks(job_id, window=8)
    assert [lose(ledger_factory, job_id) for _ in range(2)] == [(LedgerUnavailableError, True), (LedgerError, False)]


@DJANGO
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_that_the_driver_has_ended_is_not_taken_for_the_next_one(
    ledger_factory: LedgerFactory, end: str
) -> None:
    ledger = ledger_factory(clock=Clock(), is_dead=Deaths())
    job_id = start(ledger, chunk_count=1)
    ledger.send_chunks(job_id, window=8)
    claim = claimed(ledger, job_id, "host/1/a")

    def attempt() -> None:
        with ledger.work(claim) as work:
            getattr(connections[ledger._using].connection, end)()  # type: ignore[attr-defined]
            work.commit(outcome())

    with pytest.raises(LedgerUnavailableError, match="a handler that commits or rolls back by itself"):
        attempt()
    assert ledger.outcome(job_id, 0) is None

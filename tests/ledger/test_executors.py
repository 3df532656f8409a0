# ruff: noqa: S106 - tokens are no passwords
"""A SQLite ledger that processes of both executors have open: neither begins anything of the other's jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.ledger import SqliteLedger
from engine.model import ExecutorName, Turn
from engine.status import Phase, Status
from tests.ledger.builders import LEASE_SECONDS, chunks, job, outcome

Open = Callable[[ExecutorName | None], SqliteLedger]
EVERYBODY: tuple[ExecutorName | None, ...] = ("local", "celery", None)


@pytest.fixture
def open_for(tmp_path: Path) -> Iterator[Open]:
    opened: list[SqliteLedger] = []

    def open_one(executor: ExecutorName | None) -> SqliteLedger:
        opened.append(
            SqliteLedger(tmp_path / "ledger.sqlite3", executor=executor, is_dead=lambda owner: owner == "dead")
        )
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


def processing(ledger: SqliteLedger, executor: ExecutorName, *, count: int = 3) -> str:
    """A job of that executor whose chunks are planned."""
    new = job(executor=executor)
    ledger.create_job(new)
    ledger.add_chunks(new.job_id, chunks(count))
    assert ledger.move_job(
        new.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=Phase.PROCESSING, owner=None
    )
    return new.job_id


def take_back(ledger: SqliteLedger, job_id: str) -> list[int]:
    return ledger.take_back(job_id, lease_seconds=LEASE_SECONDS, resend_after_seconds=0)


@pytest.mark.parametrize("mine", ["local", "celery"])
def test_chunks_are_sent_claimed_and_taken_back_by_the_executor_of_their_job_alone(
    open_for: Open, mine: ExecutorName
) -> None:
    ours, theirs = open_for(mine), open_for("celery" if mine == "local" else "local")
    job_id = processing(ours, mine)
    assert (theirs.send_chunks(job_id, window=9), theirs.next_turn()) == ([], None)
    assert ours.send_chunks(job_id, window=9) == [0, 1, 2]
    assert (theirs.next_turn(), ours.next_turn()) == (None, Turn(job_id=job_id, chunk_index=0))
    assert theirs.claim(job_id, 0, owner="a", token="t") is None
    assert ours.claim(job_id, 0, owner="dead", token="t") is not None
    assert theirs.claim(job_id, 0, owner="a", token="t") is None
    assert (take_back(theirs, job_id), take_back(ours, job_id)) == ([], [0, 1, 2])


@pytest.mark.parametrize("executor", EVERYBODY)
def test_a_scan_and_a_merge_are_begun_by_the_executor_of_the_job_or_by_who_steers_it(
    open_for: Open, executor: ExecutorName | None
) -> None:
    ledger = open_for(executor)
    new = job(executor="local")
    ledger.create_job(new)
    steps = [((Status.QUEUED, None), Phase.SCANNING), ((Status.RUNNING, Phase.SCANNING), Phase.MERGING)]
    begun = [
        ledger.move_job(new.job_id, expected=[old], status=Status.RUNNING, phase=phase, owner="me")
        for old, phase in steps
    ]
    assert begun == [executor != "celery"] * 2


def test_what_was_begun_before_a_job_was_handed_over_ends_and_counts(open_for: Open) -> None:
    celery, local = open_for("celery"), open_for("local")
    job_id = processing(celery, "celery")
    assert celery.send_chunks(job_id, window=2) == [0, 1]
    claim = celery.claim(job_id, 0, owner="worker", token="t")
    assert claim is not None
    local.hand_over(job_id)
    assert celery.job(job_id).executor == "local"
    # What was sent and not begun is sent anew by the other one.
    assert local.send_chunks(job_id, window=9) == [1, 2]
    assert celery.heartbeat(claim)
    with celery.work(claim) as work:
        work.commit(outcome())
    assert local.counts(job_id) == outcome().counts
    # And an error that is met there ends the job, whosever it is by now.
    assert celery.move_job(
        job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.RUNNING, phase=Phase.FAILING, owner=None
    )


@pytest.mark.parametrize("executor", EVERYBODY)
def test_everybody_sees_and_steers_every_job(open_for: Open, executor: ExecutorName | None) -> None:
    ledger = open_for(executor)
    ids = {processing(ledger, "local"), processing(ledger, "celery")}
    assert {found.job_id for found in ledger.jobs(unfinished_only=True)} == ids
    for job_id in ids:
        assert ledger.set_paused(job_id, True)
        assert ledger.request_cancel(job_id)
        assert ledger.move_job(
            job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=Status.RUNNING, phase=Phase.CANCELLING
        )

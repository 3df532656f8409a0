"""A cancel ends a chunk behind the batch in hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.status import ChunkStatus, Status
from tests.chunk_runner.scenes import chunk, counts
from tests.in_process import InProcess, numbered, read_csv


def cancels_at(here: InProcess, row: int) -> Callable[..., Any]:
    def handler(row_index: int, *_: Any) -> dict[str, Any]:
        if row_index == row:
            here.coordinator("somebody").cancel(here.job_id)
        return {"ok": row_index % 2 == 0, "error": "odd"}

    return handler


@pytest.mark.parametrize(("at_row", "done"), [(1, 3), (3, 3), (4, 6), (10, 10)])
def test_a_cancel_ends_the_chunk_with_the_running_batch(
    here: InProcess, handle: Callable[..., str], at_row: int, done: int
) -> None:
    here.plan(numbered(10), handle(cancels_at(here, at_row)), batch_size=3)
    assert here.run_chunk() is Ran.DONE
    state = chunk(here)
    assert state.status is ChunkStatus.DONE
    assert state.outcome.counts == counts(done // 2, done - done // 2)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, state.outcome.counts)
    assert [row[0] for row in read_csv(here.result("failed"))[1:]] == [f"row {n}" for n in range(1, done + 1, 2)]
    assert [row[0] for row in read_csv(here.result("success"))[1:]] == [f"row {n}" for n in range(2, done + 1, 2)]


def test_a_cancel_of_which_the_ledger_knows_nothing_leaves_no_row_out(here: InProcess) -> None:
    """Counters are a hint. A flag that was left there must not make a chunk that lacks rows."""
    here.plan(numbered(10), batch_size=2)
    here.progress.request_cancel(here.job_id)
    assert here.run_chunk() is Ran.DONE
    assert chunk(here).outcome.counts == counts(10)

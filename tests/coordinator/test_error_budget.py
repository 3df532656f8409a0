"""`max_errors` and `max_error_rate` end a hopeless job early, and a resumed one gets its budget anew."""

from __future__ import annotations

from typing import Any

import pytest

from engine.coordinator.error_budget import MIN_ROWS_FOR_RATE, trouble
from engine.model import Counts
from engine.status import Phase, Status
from tests.in_process import InProcess, numbered, read_csv


def counts(failures: int, rows: int) -> Counts:
    return Counts(success_count=rows - failures, failure_count=failures)


@pytest.mark.parametrize(
    ("options", "failures", "rows", "is_over"),
    [
        ({}, 10**9, 10**9, False),
        ({"max_errors": 0}, 0, 500, False),
        ({"max_errors": 0}, 1, 500, True),
        ({"max_errors": 5}, 5, 5, False),
        ({"max_errors": 5}, 6, 10**6, True),
        ({"max_error_rate": 0.1}, MIN_ROWS_FOR_RATE - 1, MIN_ROWS_FOR_RATE - 1, False),
        ({"max_error_rate": 0.1}, MIN_ROWS_FOR_RATE // 10, MIN_ROWS_FOR_RATE, False),
        ({"max_error_rate": 0.1}, MIN_ROWS_FOR_RATE // 10 + 1, MIN_ROWS_FOR_RATE, True),
        ({"max_error_rate": 0.0}, 1, MIN_ROWS_FOR_RATE, True),
        ({"max_error_rate": 1.0}, MIN_ROWS_FOR_RATE, MIN_ROWS_FOR_RATE, False),
        ({"max_errors": 5, "max_error_rate": 1.0}, 6, 6, True),
        ({"max_errors": 2000, "max_error_rate": 0.1}, 1_999, 2_000, True),
    ],
)
def test_a_budget_is_used_up_by_more_than_it_allows(
    here: InProcess, options: dict[str, Any], failures: int, rows: int, is_over: bool
) -> None:
    job = here.create(numbered(1), **options)
    text = trouble(job, counts(failures, rows))
    assert (text is not None) is is_over
    if text is not None:
        assert f"{failures:,}" in text


def test_a_job_with_too_many_errors_fails_after_the_chunk_that_shows_it(here: InProcess) -> None:
    rows = numbered(50, bad=range(1, 51))
    here.plan(rows, "by_cell", chunk_size=10, max_errors=15)
    coordinator = here.coordinator()
    here.run_chunk(0)
    assert not coordinator.check_budget(here.job_id)
    here.run_chunk(1)
    assert coordinator.check_budget(here.job_id)
    assert not coordinator.check_budget(here.job_id)
    assert here.job().phase is Phase.FAILING
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "too_many_errors", counts(20, 20))
    assert "20 rows were refused, and max_errors is 15" in str(job.error_message)
    assert len(read_csv(here.result("failed"))) == 21
    assert read_csv(here.result("unprocessed"))[1:] == rows[21:]


def test_recovery_looks_at_the_live_counters(here: InProcess) -> None:
    here.plan(numbered(50, bad=range(1, 51)), "by_cell", chunk_size=10, max_errors=3, batch_size=2)
    looked: list[Phase | None] = []

    def look() -> bool:
        here.coordinator().recover(here.job_id, here.executor)
        looked.append(here.job().phase)
        return False

    here.run_chunk(0, should_stop=look)
    assert looked == [Phase.PROCESSING, Phase.FAILING, Phase.FAILING, Phase.FAILING]
    assert here.finish().counts == counts(10, 10)


def test_the_share_of_a_short_source_is_judged_at_its_end(here: InProcess) -> None:
    here.plan(numbered(20, bad=[1, 2, 3]), "by_cell", chunk_size=10, max_error_rate=0.1)
    here.run_chunk(0)
    assert not here.coordinator().check_budget(here.job_id)
    here.run_chunk(1)
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "too_many_errors", counts(3, 20))
    assert "3 of 20 rows were refused, 15.0%, and max_error_rate is 0.1" in str(job.error_message)
    assert len(read_csv(here.result("failed"))) == 4
    assert job.result_files.unprocessed_url is None


def test_a_resumed_job_goes_on_with_a_new_budget(here: InProcess) -> None:
    here.plan(numbered(40, bad=range(1, 31)), "by_cell", chunk_size=10, max_errors=15)
    coordinator = here.coordinator()
    for index in (0, 1):
        here.run_chunk(index)
    assert coordinator.check_budget(here.job_id)
    here.finish()
    assert coordinator.resume(here.job_id).forgiven == counts(20, 20)
    for index in (2, 3):
        here.run_chunk(index)
        assert not coordinator.check_budget(here.job_id)
    job = here.finish()
    assert (job.status, job.counts) == (Status.SUCCEEDED, counts(30, 40))


def test_a_job_that_was_refused_at_its_end_succeeds_when_it_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20, bad=[1, 2, 3]), "by_cell", max_errors=2)
    here.run_all()
    assert here.finish().status is Status.FAILED
    here.coordinator().resume(here.job_id)
    assert here.finish().status is Status.SUCCEEDED


def test_a_cancelled_job_is_not_judged(here: InProcess) -> None:
    here.plan(numbered(20, bad=[1, 2, 3]), "by_cell", chunk_size=10, max_errors=0)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    assert not here.coordinator().check_budget(here.job_id)
    assert here.finish().status is Status.CANCELLED

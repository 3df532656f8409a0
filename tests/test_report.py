from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Counts, Job, ResultFiles, Source
from engine.report import JobReport
from engine.status import Phase, Status

CREATED = datetime(2025, 10, 22, 10, 30, 0, tzinfo=UTC)


def report(success: int = 0, failure: int = 0, **changes: Any) -> JobReport:
    job = Job(
        **{
            "job_id": "a1b2",
            "source": Source(url="/data/a.csv", size_bytes=1, etag="x"),
            "handler_path": "a.b",
            "options": {},
            "output_url": "/out",
            "workspace_url": "/out/.rowmill",
            "created_at": CREATED,
            **changes,
        }
    )
    return JobReport(job=job, counts=Counts(success_count=success, failure_count=failure))


def test_a_queued_job_has_every_field_of_the_guide() -> None:
    assert report().to_dict() == {
        "id": "a1b2",
        "file_id": None,
        "source": "/data/a.csv",
        "status": "queued",
        "phase": None,
        "celery_task_id": None,
        "created_by_id": None,
        "created_at": "2025-10-22T10:30:00.000Z",
        "started_at": None,
        "finished_at": None,
        "total_rows": None,
        "processed_rows": 0,
        "success_count": 0,
        "failure_count": 0,
        "percentage": None,
        "result_files": {"success_file": {"file_id": None, "url": None}, "failed_file": {"file_id": None, "url": None}},
        "error_code": None,
        "error_message": None,
        "errors_by_message": {},
    }


def test_a_running_job_is_told_as_in_the_guide() -> None:
    running = report(
        2480, 20, status=Status.RUNNING, phase=Phase.PROCESSING, total_rows=10_000, started_at=CREATED
    ).to_dict()
    assert running["percentage"] == 25.0
    assert (running["status"], running["phase"], running["processed_rows"]) == ("running", "processing", 2500)


def test_an_ended_job_names_its_files_and_its_error() -> None:
    ended = report(
        1,
        status=Status.FAILED,
        error_code="source_changed",
        error_message="It changed.",
        result_files=ResultFiles(success_url="/s", failed_url="/f"),
        finished_at=CREATED + timedelta(seconds=1.2345),
    )
    told = ended.to_dict()
    assert (told["error_code"], told["error_message"]) == ("source_changed", "It changed.")
    assert told["result_files"]["success_file"]["url"] == "/s"
    assert told["finished_at"] == "2025-10-22T10:30:01.234Z"
    assert not ended.succeeded
    assert report(0, 9, status=Status.SUCCEEDED).succeeded


def test_a_file_of_unprocessed_rows_is_told_beside_the_two_of_the_guide_where_there_is_one() -> None:
    files = ResultFiles(success_url="/s", failed_url="/f", unprocessed_url="/u")
    told = report(1, status=Status.CANCELLED, result_files=files).to_dict()["result_files"]
    assert {name: file["url"] for name, file in told.items()} == {
        "success_file": "/s",
        "failed_file": "/f",
        "unprocessed_file": "/u",
    }
    # What an earlier end has left says nothing about a job that runs again.
    told = report(1, status=Status.RUNNING, result_files=files).to_dict()["result_files"]
    assert told == {"success_file": {"file_id": None, "url": None}, "failed_file": {"file_id": None, "url": None}}


@pytest.mark.parametrize(
    ("phase", "changes", "shown"),
    [
        (Phase.SCANNING, {}, "scanning"),
        (Phase.SCANNING, {"paused": True}, "paused"),
        (Phase.PROCESSING, {"paused": True}, "paused"),
        (Phase.PROCESSING, {"paused": True, "cancel_requested": True}, "processing"),
        (Phase.MERGING, {"paused": True}, "merging"),
    ],
)
def test_a_paused_job_is_told_as_such_while_something_could_begin(
    phase: Phase, changes: dict[str, bool], shown: str
) -> None:
    assert report(status=Status.RUNNING, phase=phase, **changes).to_dict()["phase"] == shown


def test_a_time_of_another_zone_keeps_it() -> None:
    zone = timezone(timedelta(hours=2))
    assert report(created_at=CREATED.astimezone(zone)).to_dict()["created_at"] == "2025-10-22T12:30:00.000+02:00"


@pytest.mark.parametrize(
    ("status", "total", "processed", "percentage"),
    [
        (Status.RUNNING, None, 5, None),
        (Status.RUNNING, 0, 0, 0.0),
        (Status.SUCCEEDED, 0, 0, 100.0),
        (Status.RUNNING, 3, 1, 33.33),
        (Status.RUNNING, 3, 2, 66.66),
        (Status.RUNNING, 1_000_000, 999_999, 99.99),
        (Status.RUNNING, 3, 3, 100.0),
        (Status.RUNNING, 3, 4, 100.0),
    ],
)
def test_the_percentage_is_a_share_of_the_rows(
    status: Status, total: int | None, processed: int, percentage: float | None
) -> None:
    assert report(processed, status=status, total_rows=total).percentage == percentage


@given(total=st.integers(1, 10**12), data=st.data())
def test_a_hundred_per_cent_is_said_only_when_every_row_is_through(total: int, data: st.DataObject) -> None:
    processed = data.draw(st.integers(0, total))
    percentage = report(processed, total_rows=total).percentage
    assert percentage is not None
    assert 0 <= percentage <= 100
    assert (percentage == 100) is (processed == total)
    assert percentage == pytest.approx(100 * processed / total, abs=0.0101)

"""Jobs that do not come to their last row: pause, resume, errors, budgets; the third file; whom it concerns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge, services
from django_integration.imports.models import ImportJob
from engine.errors import StorageError
from tests.django_integration.imports.test_admin import LIST, change_page, staff_client

pytestmark = pytest.mark.django_db

MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]
#: 40 rows, of which the handler refuses every other one.
TEXT = "n\n" + "".join(f"{n}\n" for n in range(1, 41))


@pytest.fixture
def job(api: APIClient, stored_file: MakeFile) -> ImportJob:
    """Planned in four chunks, of which the first has run."""
    body = {"file_id": stored_file(TEXT).pk, "options": {"chunk_size": 10}}
    answer = api.post("/api/dynamic/import/", body)
    made = ImportJob.objects.get(pk=answer.data["import_job_id"])
    steps = bridge.process_parts().steps
    steps.plan(str(made.pk))
    steps.chunk(str(made.pk), 0)
    made.refresh_from_db()
    return made


def go_on(messages: list[Any], job: ImportJob) -> ImportJob:
    """Do what the messages order, until there are none left."""
    steps = bridge.process_parts().steps
    while messages:
        task, *arguments = messages.pop(0)
        {bridge.PLAN_TASK: steps.plan, bridge.CHUNK_TASK: steps.chunk, bridge.FINISH_TASK: steps.finish}[task](
            *arguments
        )
    job.refresh_from_db()
    return job


def download(entry: dict[str, Any]) -> list[list[str]]:
    answer = APIClient().get(entry["url"])
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_cancelled_import_has_a_third_file_beside_the_two_of_the_guide(
    api: APIClient, job: ImportJob, messages: list[Any], user: User
) -> None:
    assert list(api.get(f"/api/imports/{job.pk}/").json()["result_files"]) == ["success_file", "failed_file"]
    api.post(f"/api/imports/{job.pk}/cancel/")
    bridge.look_after(str(job.pk))
    assert go_on(messages, job).status == "cancelled"
    for address in (f"/api/imports/{job.pk}/", f"/api/import/status/?task_id={job.pk}"):
        files = api.get(address).json()["result_files"]
        assert list(files) == ["success_file", "failed_file", "unprocessed_file"]
        rows = [download(entry)[1:] for entry in files.values()]
        assert sorted(int(row[0]) for table in rows for row in table) == list(range(1, 41))
        assert rows[2][0] == ["11"]
    record = FileModel.objects.get(pk=files["unprocessed_file"]["file_id"])
    assert (record.file_name, record.uploaded_by, record.is_confirmed) == ("people.unprocessed.csv", user, True)


def test_an_error_in_a_chunk_fails_the_import_with_the_files_of_what_was_done(
    api: APIClient, job: ImportJob, messages: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "media" / job.file.file_path
    hidden = path.with_name("hidden")
    path.rename(hidden)
    messages[:] = [(bridge.CHUNK_TASK, str(job.pk), 1)]
    steps = bridge.process_parts().steps
    steps.chunk(str(job.pk), 1)
    shown = api.get(f"/api/imports/{job.pk}/").json()
    assert (shown["status"], shown["phase"], shown["result_files"]["success_file"]["url"]) == (
        "running",
        "failing",
        None,
    )
    hidden.rename(path)  # back before the merge, so that the rest can be told
    go_on(messages, job)
    assert (job.status, job.processed_rows) == ("failed", 10)
    files = api.get(f"/api/imports/{job.pk}/").json()["result_files"]
    assert [len(download(entry)) - 1 for entry in files.values()] == [5, 5, 30]


def test_a_failed_import_is_resumed_by_its_owner_and_comes_to_its_end(
    api: APIClient, job: ImportJob, messages: list[Any], django_capture_on_commit_callbacks: Any, tmp_path: Path
) -> None:
    coordinator = bridge.process_parts().coordinator
    coordinator.fail(str(job.pk), StorageError("full"))
    assert coordinator.finish(str(job.pk))
    job.refresh_from_db()
    left, record = tmp_path / "media" / job.unprocessed_key, job.unprocessed_file_id
    assert left.exists()
    messages.clear()
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(f"/api/imports/{job.pk}/resume/")
    assert (answer.status_code, answer.json()["status"], answer.json()["error_message"]) == (200, "running", None)
    assert answer.json()["result_files"]["success_file"] == {"file_id": None, "url": None}
    assert messages == [(bridge.CHUNK_TASK, str(job.pk), 1)]  # on SQLite one at a time
    # The failed file of the first end is not what the refused rows are read from meanwhile.
    assert api.get(f"/api/imports/{job.pk}/errors/", {"offset": 4}).json()["results"][0]["row"] == ["9"]
    go_on(messages, job)
    assert (job.status, job.success_count, job.failure_count) == ("succeeded", 20, 20)
    assert list(api.get(f"/api/imports/{job.pk}/").json()["result_files"]) == ["success_file", "failed_file"]
    assert not left.exists()
    assert not FileModel.objects.filter(pk=record).exists()


def test_the_record_of_an_unprocessed_file_that_is_being_imported_stays(
    api: APIClient, job: ImportJob, messages: list[Any]
) -> None:
    coordinator = bridge.process_parts().coordinator
    coordinator.fail(str(job.pk), StorageError("full"))
    coordinator.finish(str(job.pk))
    job.refresh_from_db()
    record = job.unprocessed_file
    assert record is not None
    assert api.post("/api/dynamic/import/", {"file_id": record.pk}).status_code == 202
    services.resume(job)
    bridge.look_after(str(job.pk))
    go_on(messages, job)
    assert (job.status, job.unprocessed_file) == ("succeeded", None)
    assert FileModel.objects.filter(pk=record.pk).exists()


def test_a_paused_import_begins_nothing_and_goes_on(
    api: APIClient, job: ImportJob, messages: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    for _ in range(2):
        assert api.post(f"/api/imports/{job.pk}/pause/").status_code == 200
    shown = api.get(f"/api/imports/{job.pk}/").json()
    assert (shown["status"], shown["phase"], shown["paused"]) == ("running", "paused", True)
    # Messages on their way are swallowed.
    go_on(messages, job)
    bridge.look_after(str(job.pk))
    assert (messages, job.chunks.filter(status="done").count()) == ([], 1)
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"/api/imports/{job.pk}/resume/").status_code == 200
    assert messages[0] == (bridge.CHUNK_TASK, str(job.pk), 1)
    assert api.get(f"/api/imports/{job.pk}/").json()["phase"] == "processing"
    assert go_on(messages, job).status == "succeeded"
    for action in ("pause", "resume"):
        answer = api.post(f"/api/imports/{job.pk}/{action}/")
        assert (answer.status_code, list(answer.json())) == (409, ["detail"])


def test_another_user_neither_pauses_nor_resumes(other_api: APIClient, job: ImportJob) -> None:
    for action in ("pause", "resume"):
        assert other_api.post(f"/api/imports/{job.pk}/{action}/").status_code == 404
        assert APIClient().post(f"/api/imports/{job.pk}/{action}/").status_code == 401
        assert other_api.get(f"/api/imports/{job.pk}/{action}/").status_code == 405
    job.refresh_from_db()
    assert not job.paused
    ImportJob.objects.filter(pk=job.pk).update(status="failed", phase="")
    assert other_api.post(f"/api/imports/{job.pk}/resume/").status_code == 404
    job.refresh_from_db()
    assert job.status == "failed"


def test_a_resumption_counts_against_the_quota(
    api: APIClient, job: ImportJob, stored_file: MakeFile, settings: Any
) -> None:
    ImportJob.objects.filter(pk=job.pk).update(status="failed", phase="")
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USER = 1
    assert api.post("/api/dynamic/import/", {"file_id": stored_file().pk}).status_code == 202
    answer = api.post(f"/api/imports/{job.pk}/resume/")
    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_too_many_errors_end_an_import(api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd) -> None:
    options = {"chunk_size": 10, "max_errors": 7}
    answer = api.post("/api/dynamic/import/", {"file_id": stored_file(TEXT).pk, "options": options})
    job = run_to_end(ImportJob.objects.get(pk=answer.data["import_job_id"]))
    assert (job.status, job.error_code, job.failure_count) == ("failed", "too_many_errors", 10)
    shown = api.get(f"/api/imports/{job.pk}/").json()
    assert "max_errors is 7" in shown["error_message"]
    assert len(download(shown["result_files"]["unprocessed_file"])) == 21


@pytest.mark.parametrize("options", [{"max_errors": -1}, {"max_error_rate": 2}, {"max_error_rate": "10%"}])
def test_a_budget_out_of_bounds_is_refused(api: APIClient, stored_file: MakeFile, options: dict[str, Any]) -> None:
    answer = api.post("/api/dynamic/import/", {"file_id": stored_file().pk, "options": options})
    assert (answer.status_code, list(answer.data["options"])) == (400, list(options))


def test_the_detail_says_why_rows_were_refused(api: APIClient, job: ImportJob) -> None:
    assert api.get(f"/api/imports/{job.pk}/").json()["errors_by_message"] == {"odd": 5}
    assert "errors_by_message" not in api.get("/api/imports/").json()["results"][0]


def test_the_admin_pauses_and_resumes(job: ImportJob, messages: list[Any]) -> None:
    manager = staff_client("boss", "view_importjob", "manage_importjobs")
    selected = {"_selected_action": [job.pk]}
    page = manager.post(LIST, {"action": "pause_selected", **selected}, follow=True)
    assert b"1 import job is paused." in page.content
    job.refresh_from_db()
    assert job.paused
    page = manager.post(LIST, {"action": "resume_selected", **selected}, follow=True)
    assert b"1 import job goes on." in page.content
    job.refresh_from_db()
    assert not job.paused
    looker = staff_client("looker", "view_importjob")
    looker.post(LIST, {"action": "pause_selected", **selected})
    job.refresh_from_db()
    assert not job.paused


def test_the_admin_shows_the_third_file_and_the_reasons(job: ImportJob) -> None:
    looker = staff_client("looker", "view_importjob")
    coordinator = bridge.process_parts().coordinator
    coordinator.fail(str(job.pk), StorageError("full"))
    coordinator.finish(str(job.pk))
    text = looker.get(change_page(job)).content.decode()
    assert "people.unprocessed.csv" in text
    assert "odd × 5" in text
    answer = looker.get(f"{LIST}{job.pk}/result/unprocessed/")
    assert b"".join(Client().get(answer["Location"]))[:8] == b"col_0\r\n1"

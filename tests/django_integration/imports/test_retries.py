"""The refused rows of an import alone, run again in a job of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob
from engine.storage.local import LocalFolderStorage
from tests.django_integration.imports.test_admin import LIST, staff_client

pytestmark = pytest.mark.django_db

MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]
TEXT = 'n;"a; b"\n' + "".join(f'{n};"x, ""y"""\n' for n in range(1, 8)) + "8\n\n10;z;more\n"
#: The rows of odd number, as a reader of the source gives them.
REFUSED = [["1", 'x, "y"'], ["3", 'x, "y"'], ["5", 'x, "y"'], ["7", 'x, "y"'], []]


@pytest.fixture
def start(api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd) -> Callable[..., ImportJob]:
    """`start(**options)`: an ended import of `TEXT` that has refused every other row."""

    def make(**options: Any) -> ImportJob:
        answer = api.post("/api/dynamic/import/", {"file_id": stored_file(TEXT).pk, "options": options})
        return run_to_end(ImportJob.objects.get(pk=answer.data["import_job_id"]))

    return make


@pytest.mark.parametrize("output_format", ["csv", "xlsx"])
def test_a_retry_runs_the_refused_rows_and_is_linked(
    api: APIClient,
    start: Callable[..., ImportJob],
    run_to_end: RunToEnd,
    django_capture_on_commit_callbacks: Any,
    messages: list[Any],
    user: User,
    output_format: str,
) -> None:
    first = start(output_format=output_format, chunk_size=2, custom="value")
    assert (first.status, first.failure_count) == ("succeeded", 5)
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(f"/api/imports/{first.pk}/retry/")
    assert (answer.status_code, list(answer.json())) == (
        202,
        ["import_job_id", "celery_task_id", "status", "created_at"],
    )
    retried = ImportJob.objects.get(pk=answer.json()["import_job_id"])
    assert answer["Location"].endswith(f"/api/imports/{retried.pk}/")
    assert messages == [(bridge.PLAN_TASK, str(retried.pk))]
    assert (retried.retry_of, retried.created_by, retried.handler_path) == (first, user, first.handler_path)
    assert retried.file.file_name == "people.retry.csv"
    assert (retried.options["custom"], retried.options["output_format"]) == ("value", output_format)
    messages.clear()
    run_to_end(retried)
    shown = api.get(f"/api/imports/{retried.pk}/").json()
    assert shown["retry_of"] == str(first.pk)
    # As many rows as had been refused, numbered anew; a blank one at the very end is no row.
    assert (shown["total_rows"], shown["header"]) == (4, ["n", "a; b"])
    rows = [entry["row"] for entry in api.get(f"/api/imports/{retried.pk}/errors/").json()["results"]]
    assert rows == REFUSED[0:4:2]


def test_a_second_click_gives_the_same_job_until_it_has_ended(
    api: APIClient, start: Callable[..., ImportJob], run_to_end: RunToEnd
) -> None:
    first = start()
    ids = [api.post(f"/api/imports/{first.pk}/retry/").json()["import_job_id"] for _ in range(2)]
    assert ids[0] == ids[1]
    run_to_end(ImportJob.objects.get(pk=ids[0]))
    assert api.post(f"/api/imports/{first.pk}/retry/").json()["import_job_id"] != ids[0]


def test_escaped_cells_are_what_they_were(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, settings: Any, tmp_path: Path
) -> None:
    settings.IMPORT_ESCAPE_FORMULAE = True
    bridge.forget_parts()
    file = stored_file("a\n=1+1\n=2+2\n'=3\n")
    answer = api.post("/api/dynamic/import/", {"file_id": file.pk})
    job = run_to_end(ImportJob.objects.get(pk=answer.data["import_job_id"]))
    answer = api.post(f"/api/imports/{job.pk}/retry/")
    retried = run_to_end(ImportJob.objects.get(pk=answer.json()["import_job_id"]))
    assert (tmp_path / "media" / retried.file.file_path).read_bytes() == b"a\r\n=1+1\r\n'=3\r\n"


def test_the_request_copies_nothing_and_the_job_begins_with_it(
    api: APIClient,
    start: Callable[..., ImportJob],
    run_to_end: RunToEnd,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    first = start()
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolderStorage, "read_blocks", None)  # whoever reads the failed rows fails
        answer = api.post(f"/api/imports/{first.pk}/retry/")
    assert answer.status_code == 202
    retried = ImportJob.objects.get(pk=answer.json()["import_job_id"])
    assert (retried.file.size, retried.file.etag, retried.source_etag) == (None, "", "")
    path = tmp_path / "media" / retried.file.file_path
    assert not path.exists()
    retried = run_to_end(retried)
    retried.file.refresh_from_db()
    assert path.read_bytes() == b'n,a; b\r\n1,"x, ""y"""\r\n3,"x, ""y"""\r\n5,"x, ""y"""\r\n7,"x, ""y"""\r\n\r\n'
    assert (retried.file.size, retried.file.etag) == (retried.source_size, retried.source_etag)
    assert retried.source_size == path.stat().st_size


def test_rows_that_go_before_they_are_copied_fail_the_retry(
    api: APIClient, start: Callable[..., ImportJob], run_to_end: RunToEnd, tmp_path: Path
) -> None:
    first = start()
    answer = api.post(f"/api/imports/{first.pk}/retry/")
    (tmp_path / "media" / first.failed_key).unlink()
    retried = run_to_end(ImportJob.objects.get(pk=answer.json()["import_job_id"]))
    assert (retried.status, retried.error_code) == ("failed", "object_missing")


def test_what_has_nothing_to_retry_is_a_conflict(
    api: APIClient, start: Callable[..., ImportJob], stored_file: MakeFile, run_to_end: RunToEnd, tmp_path: Path
) -> None:
    queued = ImportJob.objects.get(
        pk=api.post("/api/dynamic/import/", {"file_id": stored_file().pk}).data["import_job_id"]
    )
    before = FileModel.objects.count()
    answer = api.post(f"/api/imports/{queued.pk}/retry/")
    assert (answer.status_code, answer.json()) == (409, {"detail": "The import has not ended, or has refused no row."})
    ended = start()
    (tmp_path / "media" / ended.failed_key).unlink()
    answer = api.post(f"/api/imports/{ended.pk}/retry/")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "The failed rows of the import are not there any more.",
    )
    assert not ImportJob.objects.exclude(retry_of=None).exists()
    assert FileModel.objects.filter(file_name__contains="retry").count() == 0
    assert before < FileModel.objects.count()  # those of the ended job


def test_another_user_retries_nothing(other_api: APIClient, start: Callable[..., ImportJob]) -> None:
    job = start()
    assert other_api.post(f"/api/imports/{job.pk}/retry/").status_code == 404
    assert APIClient().post(f"/api/imports/{job.pk}/retry/").status_code == 401
    assert ImportJob.objects.count() == 1


def test_a_retry_counts_against_the_quota(
    api: APIClient, start: Callable[..., ImportJob], stored_file: MakeFile, settings: Any
) -> None:
    job = start()
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USER = 1
    api.post("/api/dynamic/import/", {"file_id": stored_file().pk})
    answer = api.post(f"/api/imports/{job.pk}/retry/")
    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_the_admin_retries(start: Callable[..., ImportJob]) -> None:
    job = start()
    manager = staff_client("boss", "view_importjob", "manage_importjobs")
    page = manager.post(LIST, {"action": "retry_selected", "_selected_action": [job.pk]}, follow=True)
    assert b"1 import job is retried." in page.content
    assert job.retries.count() == 1

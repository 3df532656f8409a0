"""Import jobs in the admin: facts, downloads and a cancel."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_integration.files.models import FileModel
from django_integration.imports.models import ImportChunk, ImportJob

pytestmark = pytest.mark.django_db

LIST = "/admin/rowmill_imports/importjob/"
REFUSE_ODD = "tests.django_integration.myapp.handlers.refuse_odd"


def staff_client(name: str, *codenames: str) -> Client:
    viewer = User.objects.create_user(name, is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(viewer)
    return client


@pytest.fixture
def viewer() -> Client:
    """Staff who may look."""
    return staff_client("viewer", "view_importjob")


@pytest.fixture
def manager() -> Client:
    """Staff who may look and cancel."""
    return staff_client("manager", "view_importjob", "manage_importjobs")


@pytest.fixture
def make_job(stored_file: Callable[..., FileModel], user: User) -> Callable[..., ImportJob]:
    """`make_job(status=…)`: a job of `user`."""

    def make(**values: Any) -> ImportJob:
        given = {"file": stored_file(), "created_by": user, "handler_path": REFUSE_ODD, "options": {"batch_size": 500}}
        return ImportJob.objects.create(**{**given, **values})

    return make


@pytest.fixture
def ended_job(make_job: Callable[..., ImportJob], run_to_end: Callable[[ImportJob], ImportJob]) -> ImportJob:
    """One that was really run."""
    job = make_job(options={"batch_size": 1, "chunk_size": 1, "note": "<b>"})
    assert run_to_end(job).status == ImportJob.Status.SUCCEEDED
    return job


def change_page(job: ImportJob) -> str:
    return reverse("admin:rowmill_imports_importjob_change", args=[job.pk])


def test_the_list_shows_progress_and_counts(viewer: Client, make_job: Callable[..., ImportJob]) -> None:
    counts = {"total_rows": 4_000, "processed_rows": 1_000, "success_count": 990, "failure_count": 10}
    job = make_job(status="running", phase="processing", **counts)
    page = viewer.get(LIST)
    assert page.status_code == 200
    for text in (str(job.pk), "people.csv", "running", "processing", "1,000 / 4,000 (25 %)", "990", "demo"):
        assert text in page.content.decode()


def test_the_list_takes_as_many_queries_for_many_jobs_as_for_one(
    viewer: Client, make_job: Callable[..., ImportJob], django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_job()
    viewer.get(LIST)
    with CaptureQueriesContext(connection) as for_one:
        viewer.get(LIST)
    for _ in range(10):
        make_job()
    with django_assert_num_queries(len(for_one)):
        viewer.get(LIST)


@pytest.mark.parametrize("query", ["status=running", "phase__exact=", "q=people", "q=demo", "q=nobody", "q={job}"])
def test_jobs_are_found_by_filters_and_search(viewer: Client, make_job: Callable[..., ImportJob], query: str) -> None:
    job = make_job(status="running")
    page = viewer.get(f"{LIST}?{query.format(job=str(job.pk)[:13])}")
    assert page.status_code == 200
    assert (str(job.pk) in page.content.decode()) is (query != "q=nobody")


def test_a_page_shows_facts_and_nothing_to_change(viewer: Client, ended_job: ImportJob) -> None:
    page = viewer.get(change_page(ended_job))
    assert page.status_code == 200
    text = page.content.decode()
    for fact in ("2 / 2 (100 %)", "1 succeeded, 1 failed", "2 done", REFUSE_ODD, "people.success.csv", "&lt;b&gt;"):
        assert fact in text
    # A link would be a right; it is made when it is asked for.
    assert "/api/files/download/" not in text
    assert 'name="_save"' not in text
    assert viewer.get(f"{LIST}add/").status_code == 403
    assert viewer.post(reverse("admin:rowmill_imports_importjob_delete", args=[ended_job.pk])).status_code == 403
    viewer.post(change_page(ended_job), {"status": "failed"})
    ended_job.refresh_from_db()
    assert ended_job.status == "succeeded"


def test_a_page_of_a_running_job_shows_the_live_counters(viewer: Client, make_job: Callable[..., ImportJob]) -> None:
    from django_integration.imports import bridge
    from engine.model import Counts

    job = make_job(status="running", phase="processing")
    progress = bridge.process_parts().progress
    progress.begin(str(job.pk), total_rows=10, done={0: Counts(success_count=3, failure_count=1)})
    ImportChunk.objects.create(
        job=job, chunk_index=0, byte_start=0, byte_end=9, first_row_index=1, row_count=4, first_line_number=2
    )
    text = viewer.get(change_page(job)).content.decode()
    assert "4 / 10 (40 %)" in text
    assert "1 planned" in text


def test_a_click_leads_to_a_fresh_link(viewer: Client, ended_job: ImportJob) -> None:
    for kind, column in (("success", b"import_result"), ("failed", b"import_error")):
        answer = viewer.get(reverse("admin:rowmill_imports_importjob_result", args=[ended_job.pk, kind]))
        assert answer.status_code == 302
        download = Client().get(answer["Location"])
        assert column in b"".join(download)
        assert f"people.{kind}.csv" in download["Content-Disposition"]


def test_a_download_needs_the_permission_and_a_result(viewer: Client, ended_job: ImportJob) -> None:
    def result(client: Client, job_id: uuid.UUID, kind: str) -> int:
        return client.get(reverse("admin:rowmill_imports_importjob_result", args=[job_id, kind])).status_code

    assert result(viewer, ended_job.pk, "other") == 404
    assert result(viewer, uuid.uuid4(), "failed") == 404
    assert result(staff_client("nobody"), ended_job.pk, "failed") == 403
    assert result(Client(), ended_job.pk, "failed") == 302  # to the login
    ImportJob.objects.update(failed_key="")
    assert result(viewer, ended_job.pk, "failed") == 404


def test_selected_jobs_are_cancelled(manager: Client, make_job: Callable[..., ImportJob], ended_job: ImportJob) -> None:
    queued, running = make_job(), make_job(status="running", phase="processing")
    selected = {"action": "cancel_selected", "_selected_action": [queued.pk, running.pk, ended_job.pk]}
    page = manager.post(LIST, selected, follow=True)
    assert b"2 import jobs are cancelled." in page.content
    for job in (queued, running, ended_job):
        job.refresh_from_db()
    assert (queued.status, running.phase, ended_job.status) == ("cancelled", "cancelling", "succeeded")
    assert running.cancel_requested
    page = manager.post(LIST, {**selected, "_selected_action": [ended_job.pk]}, follow=True)
    assert b"0 import jobs are cancelled." in page.content


def test_who_may_only_look_cannot_cancel(viewer: Client, make_job: Callable[..., ImportJob]) -> None:
    job = make_job()
    assert b"cancel_selected" not in viewer.get(LIST).content
    viewer.post(LIST, {"action": "cancel_selected", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert job.status == "queued"


def test_nobody_else_sees_anything(make_job: Callable[..., ImportJob], user: User) -> None:
    job = make_job()
    assert staff_client("other-staff").get(LIST).status_code == 403
    client = Client()
    client.force_login(user)
    assert client.get(change_page(job)).status_code == 302

"""Asking for the status of a running job: no look at the database, for nobody else, until the job's end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob
from engine.model import Counts
from tests.services import free_port

STATUS = "/api/import/status/"


@pytest.fixture
def running(
    api: APIClient,
    stored_file: Callable[..., FileModel],
) -> ImportJob:
    """A job of `user` with four rows in two chunks, one of them through."""
    file = stored_file("name,email\nAna,a@x\nBo,\nCy,c@x\nDi,d@x\n")
    answer = api.post("/api/mymodels/import/", {"file_id": file.pk, "options": {"chunk_size": 2}})
    job = ImportJob.objects.get(pk=answer.data["import_job_id"])
    steps = bridge.process_parts().steps
    steps.plan(str(job.pk))
    steps.chunk(str(job.pk), 0)
    job.refresh_from_db()
    assert job.status == "running"
    return job


def finish(job: ImportJob, capture: Any) -> None:
    """The second chunk and the merge, as workers do them: each step a transaction that is committed."""
    with capture(execute=True):
        bridge.process_parts().steps.chunk(str(job.pk), 1)
        bridge.process_parts().steps.finish(str(job.pk))


def test_the_second_look_leaves_the_database_alone_and_sees_the_rows_go_on(
    api: APIClient, running: ImportJob, django_assert_num_queries: Any
) -> None:
    first = api.get(STATUS, {"task_id": str(running.pk)}).json()
    with django_assert_num_queries(0):
        again = api.get(STATUS, {"task_id": str(running.pk)}).json()
        by_task = api.get(STATUS, {"task_id": running.celery_task_id}).json()
    assert first == again == by_task
    assert (first["processed_rows"], first["success_count"], first["percentage"]) == (2, 1, 50.0)
    bridge.process_parts().progress.record(str(running.pk), 1, 1, Counts(success_count=1))
    with django_assert_num_queries(0):
        later = api.get(STATUS, {"task_id": str(running.pk)}).json()
    moved = {"processed_rows": 3, "success_count": 2, "failure_count": 1, "percentage": 75.0}
    assert later == {**first, **moved}


def test_nobody_else_gets_what_is_kept(
    api: APIClient, other_api: APIClient, client_of: Callable[..., APIClient], running: ImportJob
) -> None:
    mine = api.get(STATUS, {"task_id": str(running.pk)}).json()
    staff = User.objects.create_user("staff", is_staff=True)
    for task_id in (str(running.pk), running.celery_task_id):
        assert other_api.get(STATUS, {"task_id": task_id}).status_code == 404
        assert client_of(staff).get(STATUS, {"task_id": task_id}).status_code == 404
        assert APIClient().get(STATUS, {"task_id": task_id}).status_code == 401
    staff.user_permissions.add(Permission.objects.get(codename="manage_importjobs"))
    staff = User.objects.get(pk=staff.pk)
    assert client_of(staff).get(STATUS, {"task_id": str(running.pk)}).json() == mine


def test_the_end_is_seen_at_once(api: APIClient, running: ImportJob, django_capture_on_commit_callbacks: Any) -> None:
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "running"
    finish(running, django_capture_on_commit_callbacks)
    for task_id in (str(running.pk), running.celery_task_id):
        answer = api.get(STATUS, {"task_id": task_id}).json()
        assert (answer["status"], answer["processed_rows"], answer["percentage"]) == ("succeeded", 4, 100.0)
        assert answer["result_files"]["success_file"]["url"]


def test_an_end_whose_worker_died_before_it_could_tell_is_seen_after_the_next_look_of_recovery(
    api: APIClient, running: ImportJob
) -> None:
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "running"
    # What follows the commit does not happen.
    bridge.process_parts().steps.chunk(str(running.pk), 1)
    bridge.process_parts().steps.finish(str(running.pk))
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "running"
    bridge.recover_all()
    for task_id in (str(running.pk), running.celery_task_id):
        assert api.get(STATUS, {"task_id": task_id}).json()["status"] == "succeeded"


def test_a_look_that_began_before_the_end_leaves_nothing_behind(
    api: APIClient, running: ImportJob, django_capture_on_commit_callbacks: Any
) -> None:
    before = api.get(STATUS, {"task_id": str(running.pk)}).json()
    finish(running, django_capture_on_commit_callbacks)
    bridge.process_parts().statuses.keep(str(running.pk), running.celery_task_id, before)
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "succeeded"


def test_a_cancelled_job_is_seen_as_cancelled(
    api: APIClient, running: ImportJob, django_capture_on_commit_callbacks: Any
) -> None:
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "running"
    with django_capture_on_commit_callbacks(execute=True):
        bridge.process_parts().coordinator.cancel(str(running.pk))
        bridge.process_parts().steps.finish(str(running.pk))
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["status"] == "cancelled"


def test_lost_counters_and_a_silent_redis_leave_it_to_the_database(
    api: APIClient, running: ImportJob, settings: Any
) -> None:
    kept = api.get(STATUS, {"task_id": str(running.pk)}).json()
    ImportJob.objects.filter(pk=running.pk).update(processed_rows=1, success_count=1)
    bridge.process_parts().progress.clear(str(running.pk))
    assert api.get(STATUS, {"task_id": str(running.pk)}).json() == {
        **kept, "processed_rows": 1, "success_count": 1, "failure_count": 0, "percentage": 25.0,
    }  # fmt: skip
    settings.IMPORT_REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    bridge.forget_parts()
    assert api.get(STATUS, {"task_id": str(running.pk)}).json()["processed_rows"] == 1


def test_a_job_that_waits_is_not_kept(api: APIClient, stored_file: Callable[..., FileModel]) -> None:
    answer = api.post("/api/mymodels/import/", {"file_id": stored_file().pk})
    job_id = answer.data["import_job_id"]
    assert api.get(STATUS, {"task_id": job_id}).json()["status"] == "queued"
    ImportJob.objects.filter(pk=job_id).update(status="failed", error_message="x")
    assert api.get(STATUS, {"task_id": job_id}).json()["status"] == "failed"
    assert api.get(STATUS, {"task_id": str(uuid.uuid4())}).status_code == 404


def test_the_status_of_a_user_whose_id_is_no_number_is_kept(running: ImportJob) -> None:
    user_id, statuses = uuid.uuid4(), bridge.process_parts().statuses
    statuses.keep(str(running.pk), "", {"id": str(running.pk), "created_by_id": user_id})
    found = statuses.find(str(running.pk))
    assert found is not None
    assert found.body["created_by_id"] == str(user_id)

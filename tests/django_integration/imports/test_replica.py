"""A project whose router sends reads to a replica, which lags: imports read where they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge, sweeping
from django_integration.imports.models import ImportJob


class ReadsFromReplica:
    """To a database without tables, so that who reads there fails."""

    def db_for_read(self, model: Any, **_: Any) -> str | None:
        return "replica" if model._meta.app_label.startswith("rowmill_") else None


@pytest.fixture
def _replica(settings: Any) -> Iterator[None]:
    connections.databases["replica"] = {**connections.databases["default"], "NAME": ":memory:"}
    settings.DATABASE_ROUTERS = [f"{__name__}.{ReadsFromReplica.__name__}"]
    yield
    connections["replica"].close()
    del connections.databases["replica"], connections["replica"]


@pytest.mark.django_db
@pytest.mark.usefixtures("_replica")
def test_whatever_was_written_a_moment_ago_is_there(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
) -> None:
    announced = api.post("/api/files/presign/", {"purpose": "people_import", "file_name": "p.csv"})
    assert announced.status_code == 201, announced.data
    body, key = {"file_id": stored_file().pk}, {"HTTP_IDEMPOTENCY_KEY": "k"}
    answers = [api.post("/api/mymodels/import/", body, **key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    job = ImportJob.objects.get(pk=answers[0].data["import_job_id"])
    assert str(job.pk) == answers[1].data["import_job_id"]
    page = f"/api/imports/{job.pk}"
    assert api.post(f"{page}/pause/").json()["status"] == "queued"
    assert api.post(f"{page}/resume/").status_code == 200
    run_to_end(job)
    bridge.recover_all()
    status = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert (status["status"], status["success_count"], status["failure_count"]) == ("succeeded", 1, 1)
    for path in ("/api/imports/", f"{page}/", f"{page}/errors/", "/api/files/", f"/api/files/{body['file_id']}/"):
        assert api.get(path).status_code == 200, path
    assert api.post(f"{page}/retry/").status_code == 202
    sweeping.sweep()
    admin = Client()
    admin.force_login(User.objects.create_superuser("admin"))
    assert admin.get(f"/admin/rowmill_imports/importjob/{job.pk}/change/").status_code == 200

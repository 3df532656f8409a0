"""Imports of a project that says `USE_TZ = False`: its models hold naive local times, the engine and the API do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob

#: Far from UTC, and not by whole hours.
ZONE = "Asia/Kathmandu"


@pytest.fixture(autouse=True)
def _naive(settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, ZONE


@pytest.mark.django_db
def test_an_import_ends_and_tells_its_times_in_utc(
    api: APIClient, stored_file: Callable[..., FileModel], run_to_end: Callable[[ImportJob], ImportJob]
) -> None:
    began = datetime.now(UTC)
    answer = api.post("/api/mymodels/import/", {"file_id": stored_file().pk, "options": {"chunk_size": 1}})
    assert answer.status_code == 202, answer.data
    job = ImportJob.objects.get(pk=answer.data["import_job_id"])
    ledger = bridge.process_parts().ledger
    assert 0 <= ledger.job(str(job.pk)).seconds_since_heartbeat < 60
    run_to_end(job)
    bridge.recover_all()
    status = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert (status["status"], status["success_count"], status["failure_count"]) == ("succeeded", 1, 1)
    shown = [answer.json()["created_at"], *(status[name] for name in ("created_at", "started_at", "finished_at"))]
    for text in shown:
        assert text.endswith("Z")
        assert began - timedelta(seconds=1) <= datetime.fromisoformat(text) <= datetime.now(UTC)
    assert job.finished_at is not None
    assert job.finished_at.tzinfo is None
    engine_job = ledger.job(str(job.pk))
    assert engine_job.finished_at == job.finished_at.astimezone(UTC)

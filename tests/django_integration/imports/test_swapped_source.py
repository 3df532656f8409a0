"""An object that is replaced between its confirmation and the import is noticed, whoever replaced it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob

CONFIRMED = b"name,email\n" + b"Ana,a@example.com\n" * 50
#: As many bytes, so that nothing but the version tells.
SWAPPED = CONFIRMED.replace(b"Ana", b"Eve")


@pytest.fixture(params=["local", "moto", "juicefs"])
def confirmed(request: pytest.FixtureRequest, settings: Any, api: APIClient) -> FileModel:
    """A file that came by the guide's three steps, on each storage."""
    if request.param != "local":
        endpoint = request.getfixturevalue(f"{request.param}_endpoint")
        settings.FILES_S3_ENDPOINT_URL = endpoint
        settings.FILES_STORAGE_URL = f"s3://{request.getfixturevalue('s3_bucket')(endpoint)}"
    bridge.forget_parts()
    presigned = api.post("/api/files/presign/", {"purpose": "people_import", "file_name": "people.csv"}).json()
    file = FileModel.objects.get(pk=presigned["file_id"])
    put(file, CONFIRMED)
    entry = {"file_id": file.pk, "checksum": hashlib.sha256(CONFIRMED).hexdigest(), "size": len(CONFIRMED)}
    (answer,) = api.post("/api/files/confirm/", {"files": [entry]}).json()["files"]
    assert answer["status"] == "confirmed"
    return file


def put(file: FileModel, data: bytes) -> None:
    with file_storage().open_writer(file.file_path) as writer:
        writer.write(data)


def start(api: APIClient, file: FileModel) -> ImportJob:
    answer = api.post("/api/mymodels/import/", {"file_id": file.pk, "options": {"chunk_size": 10}})
    assert answer.status_code == 202, answer.data
    return ImportJob.objects.get(pk=answer.data["import_job_id"])


def test_the_confirmed_content_is_imported(
    api: APIClient, confirmed: FileModel, run_to_end: Callable[[ImportJob], ImportJob]
) -> None:
    job = run_to_end(start(api, confirmed))
    assert (job.status, job.success_count) == ("succeeded", 50)


@pytest.mark.parametrize("when", ["before the start", "after the start", "after the scan"])
def test_swapped_content_is_not(api: APIClient, confirmed: FileModel, when: str) -> None:
    if when == "before the start":
        put(confirmed, SWAPPED)
    job = start(api, confirmed)
    if when == "after the start":
        put(confirmed, SWAPPED)
    steps = bridge.process_parts().steps
    steps.plan(str(job.pk))
    if when == "after the scan":
        put(confirmed, SWAPPED)
        steps.chunk(str(job.pk), 0)
    answer = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert (answer["status"], answer["processed_rows"]) == ("failed", 0)
    # Where the storage is, is no user's business.
    assert answer["error_message"].startswith("people.csv is not the ")
    assert api.get(f"/api/imports/{job.pk}/").json()["error_code"] == "source_changed"

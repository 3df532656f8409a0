"""Attacks by way of files: names, links, confirmations, and what lies behind a confirmed file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import signing
from rest_framework.test import APIClient

from django_integration.conf import storage_root
from django_integration.files import links
from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from django_integration.imports.models import ImportJob
from tests.django_integration.files.conftest import Place, entry
from tests.django_integration.files.http import put

pytestmark = pytest.mark.django_db(transaction=True)

CSV = b"name,email\nAna,a@x\nBo,\n"
START = "/api/picky/import/"
PURPOSE = {"purpose": "people_import"}


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/people.csv",
        "..\\..\\windows\\people.csv",
        "/etc/people.csv",
        "C:\\people.csv",
        "....//....//people.csv",
        "%2e%2e%2fpeople.csv",
        "people.csv/../../../../x.csv",
        "~root/people.csv",
        "$(touch x).csv",
        "a;rm -rf x;.csv",
    ],
)
def test_a_name_is_never_a_path(local_place: Place, run_to_end: Callable[[ImportJob], ImportJob], name: str) -> None:
    root = Path(storage_root())
    outside = {path for path in root.parent.rglob("*") if root not in path.parents and path != root}
    file = local_place.confirmed(CSV, file_name=name, **PURPOSE)
    assert "/" not in file.file_name
    assert "\\" not in file.file_name
    assert ".." not in file.file_path
    started = local_place.api.post(START, {"file_id": file.pk})
    job = run_to_end(ImportJob.objects.get(pk=started.data["import_job_id"]))
    assert job.status == "succeeded"
    for key in (file.file_path, job.success_key, job.failed_key):
        assert (root / key).resolve().is_relative_to(root.resolve())
        assert (root / key).is_file()
    assert {path for path in root.parent.rglob("*") if root not in path.parents and path != root} == outside


@pytest.mark.parametrize(
    "name", ["a\r\nX-Injected: 1.csv", 'a";filename="b.exe.csv', "a\n.csv", "a\x00.csv", "a\u202e.csv"]
)
def test_a_name_breaks_out_of_no_header(local_place: Place, name: str) -> None:
    response = local_place.api.post("/api/files/presign/", {**PURPOSE, "file_name": name})
    if response.status_code == 400:
        return
    link = response.json()
    assert put(link["presigned_url"], CSV, link["headers"]).status == 200
    local_place.confirm(link["file_id"], CSV)
    answer = APIClient().get(local_place.api.get(f"/api/files/{link['file_id']}/").json()["url"])
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert not set(disposition) & {"\r", "\n", "\0"}
    assert "X-Injected" not in answer.headers
    assert disposition.count('"') in (0, 2)
    assert "".join((answer.streaming_content and [""]) or []) == ""  # type: ignore[attr-defined]


def test_an_upload_link_that_expired_or_was_changed_takes_nothing(local_place: Place) -> None:
    link = local_place.presign(**PURPOSE)
    url: str = link["presigned_url"]
    token = url.rstrip("/").rpartition("/")[2]
    payload = signing.loads(token, salt=links.UploadLink.salt)
    forged = [
        signing.dumps({**payload, "e": int(time.time()) - 1}, salt=links.UploadLink.salt),
        signing.dumps(payload, salt=links.DownloadLink.salt),
        signing.dumps(payload, salt=links.UploadLink.salt, key="another key"),
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        signing.dumps({**payload, "f": payload["f"] + 1}, salt=links.UploadLink.salt, key="another key"),
        token.partition(":")[0],
    ]
    for each in forged:
        assert put(url.replace(token, each), CSV, link["headers"]).status in (403, 410), each
    assert list(file_storage().list("")) == []
    assert local_place.confirm(link["file_id"], CSV)["status"] != "confirmed"
    assert put(url, CSV, link["headers"]).status == 200


def test_a_confirmation_that_is_replayed_changes_nothing(local_place: Place, other_api: APIClient) -> None:
    file = local_place.confirmed(CSV, **PURPOSE)
    before = FileModel.objects.values().get(pk=file.pk)
    evil = CSV + b"Eve,e@x\n"
    assert local_place.confirm(file.pk, CSV)["status"] == "confirmed"  # one's own repeat is harmless
    assert local_place.confirm(file.pk, evil)["status"] != "confirmed"
    (theirs,) = other_api.post("/api/files/confirm/", {"files": [entry(file.pk, CSV)]}).json()["files"]
    assert theirs["error"]["code"] == "not_found"
    assert FileModel.objects.values().get(pk=file.pk) == before


def test_an_upload_link_is_dead_once_its_file_is_confirmed(local_place: Place) -> None:
    link = local_place.presign(**PURPOSE)
    assert put(link["presigned_url"], CSV, link["headers"]).status == 200
    assert local_place.confirm(link["file_id"], CSV)["status"] == "confirmed"
    assert put(link["presigned_url"], b"evil,rows\n1,2\n", link["headers"]).status == 409
    key = FileModel.objects.get(pk=link["file_id"]).file_path
    assert file_storage().read_range(key, 0, len(CSV)) == CSV


@pytest.mark.parametrize("moment", ["before the start", "before the scan"])
def test_an_object_swapped_after_its_confirmation_is_not_imported(
    local_place: Place, run_to_end: Callable[[ImportJob], ImportJob], moment: str
) -> None:
    file = local_place.confirmed(CSV, **PURPOSE)
    evil = CSV.replace(b"a@x", b"e@x")  # as long as before

    def swap() -> None:
        file_storage().write(file.file_path, evil)

    if moment == "before the start":
        swap()
    started = local_place.api.post(START, {"file_id": file.pk})
    assert started.status_code == 202
    if moment == "before the scan":
        swap()
    job = run_to_end(ImportJob.objects.get(pk=started.data["import_job_id"]))
    assert (job.status, job.error_code) == ("failed", "source_changed")
    assert job.processed_rows == 0


def test_a_link_for_one_users_result_is_for_that_result_alone(
    local_place: Place, run_to_end: Callable[[ImportJob], ImportJob]
) -> None:
    file = local_place.confirmed(CSV, **PURPOSE)
    started = local_place.api.post(START, {"file_id": file.pk})
    job = run_to_end(ImportJob.objects.get(pk=started.data["import_job_id"]))
    status: Any = local_place.api.get(f"/api/imports/{job.pk}/").json()
    url = status["result_files"]["success_file"]["url"]
    token = url.rstrip("/").rpartition("/")[2]
    payload = signing.loads(token, salt=links.DownloadLink.salt)
    for key in ("../../etc/passwd", "/etc/passwd", file.file_path):
        forged = signing.dumps({**payload, "k": key}, salt=links.DownloadLink.salt, key="another key")
        assert APIClient().get(url.replace(token, forged)).status_code == 403

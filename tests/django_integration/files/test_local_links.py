"""Upload and download links of our own, for a local folder."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import AsyncRequestFactory, Client
from rest_framework.test import APIClient

from django_integration.files import links, services
from django_integration.files.api.views import DownloadView
from django_integration.files.errors import UploadError
from django_integration.files.models import FileModel
from django_integration.files.storage import download_link, file_storage
from tests.django_integration.files.conftest import Place, entry, stored, stored_keys
from tests.django_integration.files.http import send

MIB = 1024 * 1024
CSV = b"a,b\n1,2\n"


def partial_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.django_db(transaction=True)
def test_an_upload_needs_no_login_and_no_csrf_token(folder: Path, api: APIClient) -> None:
    presigned = api.post("/api/files/presign/", {"purpose": "p", "file_name": "e.csv"}).json()
    client = Client(enforce_csrf_checks=True)
    response = client.put(presigned["presigned_url"], CSV, content_type="application/octet-stream")
    assert (response.status_code, response.content) == (200, b"")
    assert (folder / presigned["file_path"]).read_bytes() == CSV


@pytest.mark.django_db
@pytest.mark.parametrize("content_type", ["text/csv", "application/json", "multipart/form-data; boundary=x", "", "x"])
def test_the_body_is_taken_as_it_is_whatever_it_calls_itself(folder: Path, api: APIClient, content_type: str) -> None:
    presigned = api.post("/api/files/presign/", {"purpose": "p", "file_name": "e.csv"}).json()
    assert Client().put(presigned["presigned_url"], CSV, content_type=content_type).status_code == 200
    assert (folder / presigned["file_path"]).read_bytes() == CSV


@pytest.mark.django_db
def test_tokens_of_another_kind_or_key_are_refused(folder: Path, user: User) -> None:
    file = FileModel.objects.create(purpose="p", file_name="e.csv", file_path="e.csv", uploaded_by=user)
    upload = links.upload_url(links.UploadLink(file_id=file.pk), expires_seconds=60)
    download = links.download_url(links.DownloadLink(key="e.csv", file_name="e.csv"), expires_seconds=60)
    assert upload.startswith("/api/files/upload/")
    client = Client()
    for address, method in (
        (upload.replace("upload", "download"), "get"),
        (download.replace("download", "upload"), "put"),
        (f"/api/files/upload/{signing.dumps({'f': file.pk, 'e': 2**40})}/", "put"),
        (f"/api/files/upload/{signing.dumps({'f': file.pk, 'e': 2**40}, key='x', salt=links.UploadLink.salt)}/", "put"),
        ("/api/files/upload/x/", "put"),
        ("/api/files/upload/%00%ff::/", "put"),
        ("/api/files/download/ä:b:c/", "get"),
    ):
        response = getattr(client, method)(address)
        assert response.status_code == 403, address
        assert response.json() == {"detail": "This link is not valid."}
    assert stored_keys() == []


@pytest.mark.django_db
def test_expired_links_say_so(folder: Path, user: User) -> None:
    (folder / "e.csv").parent.mkdir()
    (folder / "e.csv").write_bytes(CSV)
    file = FileModel.objects.create(purpose="p", file_name="e.csv", file_path="e.csv", uploaded_by=user)
    upload = links.upload_url(links.UploadLink(file_id=file.pk), expires_seconds=0)
    download = download_link("e.csv", "e.csv", 0)
    for response in (Client().put(upload, b"new"), Client().get(download)):
        assert response.status_code == 403
        assert response.json() == {"detail": "This link has expired; ask for a new one."}
    assert (folder / "e.csv").read_bytes() == CSV


@pytest.mark.django_db(transaction=True)
def test_what_is_larger_than_allowed_leaves_nothing(local_place: Place, settings: Any, tmp_path: Path) -> None:
    settings.FILES_MAX_BYTES = 3 * MIB
    presigned = local_place.presign()
    assert local_place.upload(presigned, bytes(3 * MIB + 1)).status == 413
    assert partial_files(tmp_path / "files") == []
    assert local_place.upload(presigned, b"x" * (3 * MIB)).status == 200


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_breaks_off_leaves_nothing(local_place: Place, tmp_path: Path) -> None:
    presigned = local_place.presign()
    parts = urlsplit(presigned["presigned_url"])
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        head = f"PUT {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 300_000)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"broke off" in answer
    assert partial_files(tmp_path / "files") == []
    assert not FileModel.objects.get().is_confirmed


@pytest.mark.django_db(transaction=True)
def test_an_upload_says_its_length(local_place: Place) -> None:
    presigned = local_place.presign()
    parts = urlsplit(presigned["presigned_url"])
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        head = f"PUT {parts.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + b"5\r\nhello\r\n0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 411")


class Endless:
    """A body that never ends, and counts what was read of it."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int, /) -> bytes:
        self.count += size
        return bytes(size)


@pytest.mark.django_db
def test_no_byte_beyond_the_announced_ones_is_read_and_memory_is_bounded(folder: Path, user: User) -> None:
    file = FileModel.objects.create(purpose="p", file_name="e.csv", file_path="e.csv", uploaded_by=user)
    body = Endless()
    tracemalloc.start()
    services.receive(file.pk, body, 100 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.count == (folder / "e.csv").stat().st_size == 100 * MIB
    assert peak < 10 * MIB


@pytest.mark.django_db
def test_a_file_that_is_confirmed_while_another_upload_runs_stays_as_it_is(
    folder: Path, user: User, api: APIClient
) -> None:
    presigned = api.post("/api/files/presign/", {"purpose": "p", "file_name": "e.csv"}).json()
    Client().put(presigned["presigned_url"], CSV, content_type="text/csv")
    file = FileModel.objects.get()

    class Slow(Endless):
        def read(self, size: int, /) -> bytes:
            if not self.count:
                (answer,) = api.post("/api/files/confirm/", {"files": [entry(file.pk, CSV)]}).json()["files"]
                assert answer["is_confirmed"]
            return super().read(size)

    with pytest.raises(UploadError) as caught:
        services.receive(file.pk, Slow(), 2 * MIB)
    assert caught.value.code == "already_confirmed"
    assert stored(file) == CSV
    assert len(partial_files(folder)) == 1
    assert file.uploaded_by == user


@pytest.mark.django_db
def test_a_link_to_a_file_that_is_gone_is_not_found(folder: Path) -> None:
    upload = links.upload_url(links.UploadLink(file_id=1), expires_seconds=60)
    assert Client().put(upload, CSV).status_code == 404
    assert Client().get(download_link("gone.csv", "e.csv", 60)).status_code == 404


@pytest.mark.django_db
def test_a_download_is_streamed_as_an_attachment_that_no_browser_runs(folder: Path) -> None:
    content = b"<script>alert(1)</script>" * 200_000
    folder.mkdir()
    (folder / "e.csv").write_bytes(content)
    response = Client().get(download_link("e.csv", "x\r\nSet-Cookie: a=b\u202e.csv", 60))
    assert response.streaming
    assert b"".join(response) == content
    assert response["Content-Length"] == str(len(content))
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Cache-Control"] == "private, no-store"
    assert "\r" not in response["Content-Disposition"]
    assert "\n" not in response["Content-Disposition"]
    assert response["Content-Disposition"].startswith('attachment; filename="xSet-Cookie_ a_b.csv"')


def test_a_download_is_streamed_under_asgi_too(folder: Path) -> None:
    folder.mkdir()
    (folder / "e.csv").write_bytes(b"x" * (2 * MIB + 5))
    token = download_link("e.csv", "e.csv", 60).rstrip("/").rpartition("/")[2]
    response: Any = DownloadView.as_view()(AsyncRequestFactory().get("/"), token=token)
    assert response.is_async

    async def sizes() -> list[int]:
        return [len(block) async for block in response]

    assert asyncio.run(sizes()) == [MIB // 2] * 4 + [5]


@pytest.mark.django_db
def test_a_link_cannot_lead_out_of_the_folder(folder: Path) -> None:
    folder.mkdir()
    (folder.parent / "secret").write_bytes(b"secret")
    response = Client().get(download_link("../secret", "e.csv", 60))
    assert response.status_code == 503
    assert b"secret" not in response.content


@pytest.mark.django_db(transaction=True)
def test_only_put_uploads_and_only_get_and_head_download(local_place: Place) -> None:
    file = local_place.confirmed(CSV)
    url = local_place.api.get(f"/api/files/{file.pk}/").json()["url"]
    upload = local_place.presign()["presigned_url"]
    assert send("HEAD", url).headers["content-length"] == str(len(CSV))
    assert send("HEAD", url).body == b""
    assert send("POST", upload, CSV, {"Content-Type": "text/csv"}).status == 405
    assert send("GET", upload).status == 405
    assert file_storage().stat(file.file_path).size_bytes == len(CSV)

"""Links for others to read and write S3 objects directly."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.config import EngineConfig
from engine.errors import StorageAccessError, StorageError, StorageUnavailableError
from engine.storage.s3 import S3Storage
from engine.storage.s3_presign import UploadedPiece

MIB = 1024 * 1024


@pytest.fixture(params=["moto", "juicefs"])
def storage(request: pytest.FixtureRequest, s3_bucket: Callable[[str], str]) -> S3Storage:
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    return S3Storage(s3_bucket(endpoint), "some/prefix", config=EngineConfig(s3_endpoint_url=endpoint))


def send(method: str, url: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, {"Content-Type": "text/csv"})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_a_link_writes_and_another_reads(storage: S3Storage) -> None:
    url = storage.presigner.put_url("a b/ü.csv", expires_seconds=60, size_bytes=4, content_type="text/csv")
    assert send("PUT", url, b"data")[0] == 200
    assert storage.read_range("a b/ü.csv", 0, 4) == b"data"
    url = storage.presigner.get_url(
        "a b/ü.csv", expires_seconds=60, content_disposition="attachment; filename=x", content_type="text/x"
    )
    status, headers, body = send("GET", url)
    assert (status, body) == (200, b"data")
    assert (headers["content-disposition"], headers["content-type"]) == ("attachment; filename=x", "text/x")


def test_size_and_type_are_signed_where_they_are_given(storage: S3Storage) -> None:
    def signed(url: str) -> str:
        return parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0]

    assert signed(storage.presigner.put_url("a", expires_seconds=60)) == "host"
    given = storage.presigner.put_url("a", expires_seconds=60, size_bytes=1, content_type="text/csv")
    assert signed(given) == "content-length;content-type;host"
    part = storage.presigner.part_url("a", "id", 1, expires_seconds=60, size_bytes=5)
    assert signed(part) == "content-length;host"


def test_signing_contacts_nobody() -> None:
    storage = S3Storage("bucket", config=EngineConfig(s3_endpoint_url="http://127.0.0.1:9"))
    assert storage.presigner.put_url("a", expires_seconds=60).startswith("http://127.0.0.1:9/bucket/a?")


def test_a_key_cannot_leave_the_root(storage: S3Storage) -> None:
    with pytest.raises(StorageAccessError):
        storage.presigner.put_url("../a", expires_seconds=60)


def test_an_upload_in_parts_appears_when_it_is_completed(storage: S3Storage) -> None:
    signing = storage.presigner
    upload_id = signing.start_upload("big", content_type="text/csv")
    assert signing.uploaded_pieces("big", upload_id) == []
    sizes = [5 * MIB, 3]
    for part_number, size_bytes in reversed(list(enumerate(sizes, start=1))):
        url = signing.part_url("big", upload_id, part_number, expires_seconds=60, size_bytes=size_bytes)
        assert send("PUT", url, bytes(size_bytes))[0] == 200
    pieces = signing.uploaded_pieces("big", upload_id)
    assert [(piece.part_number, piece.size_bytes) for piece in pieces] == [(1, 5 * MIB), (2, 3)]
    assert list(storage.list("")) == []
    signing.complete_upload("big", upload_id, pieces)
    assert storage.stat("big").size_bytes == 5 * MIB + 3
    with pytest.raises(StorageUnavailableError) as caught:
        signing.uploaded_pieces("big", upload_id)
    assert caught.value.s3_code == "NoSuchUpload"


def test_all_parts_are_listed_also_where_they_fill_pages(storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    signing = storage.presigner
    upload_id = signing.start_upload("big")
    for part_number in range(1, 6):
        url = signing.part_url("big", upload_id, part_number, expires_seconds=60, size_bytes=part_number)
        assert send("PUT", url, bytes(part_number))[0] == 200
    call = type(signing)._call
    monkeypatch.setattr(type(signing), "_call", lambda self, *names, **given: call(self, *names, MaxParts=2, **given))
    assert [piece.size_bytes for piece in signing.uploaded_pieces("big", upload_id)] == [1, 2, 3, 4, 5]


def test_wrong_parts_are_refused_and_nothing_appears(storage: S3Storage) -> None:
    signing = storage.presigner
    upload_id = signing.start_upload("big")
    with pytest.raises(StorageError):
        signing.complete_upload("big", upload_id, [UploadedPiece(part_number=1, etag="0" * 32, size_bytes=1)])
    signing.abort_upload("big", upload_id)
    assert list(storage.list("")) == []


def test_without_credentials_nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = S3Storage("bucket", config=EngineConfig(s3_endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(StorageAccessError, match="credentials"):
        storage.presigner.put_url("a", expires_seconds=60)

"""Storages that the files app is tried on, and what a client does with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from tests.django_integration.files.http import Answer, put


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """A local folder as storage."""
    settings.FILES_STORAGE_URL = str(tmp_path / "files")
    return tmp_path / "files"


@dataclass(frozen=True)
class Place:
    """A storage, and a client whose links lead to it."""

    kind: str
    api: APIClient

    def presign(self, **given: Any) -> dict[str, Any]:
        """Announce a CSV file."""
        response = self.api.post("/api/files/presign/", {"purpose": "employee_import", "file_name": "e.csv", **given})
        assert response.status_code == 201, response.data
        body: dict[str, Any] = response.json()
        return body

    def upload(self, presigned: dict[str, Any], data: bytes) -> Answer:
        """Send its bytes."""
        return put(presigned["presigned_url"], data, presigned["headers"])

    def confirm(self, file_id: int, data: bytes, **given: Any) -> dict[str, Any]:
        """Have it verified; the answer for this file."""
        response = self.api.post("/api/files/confirm/", {"files": [entry(file_id, data, **given)]})
        assert response.status_code == 200, response.data
        (answer,) = response.json()["files"]
        return dict(answer)

    def confirmed(self, data: bytes, **given: Any) -> FileModel:
        """A file by all three steps."""
        presigned = self.presign(**given)
        assert self.upload(presigned, data).status == 200
        assert self.confirm(presigned["file_id"], data)["status"] == "confirmed"
        return FileModel.objects.get(pk=presigned["file_id"])


def entry(file_id: int, data: bytes, **given: Any) -> dict[str, Any]:
    """What a client says about a file that it has sent."""
    return {"file_id": file_id, "checksum": hashlib.sha256(data).hexdigest(), "size": len(data), **given}


@pytest.fixture(params=["local", "moto", "juicefs"])
def place(request: pytest.FixtureRequest, settings: Any, client_of: Callable[..., APIClient]) -> Place:
    """Each storage in turn; the local folder behind a real web server."""
    return _place(request, settings, client_of, request.param)


@pytest.fixture(params=["moto", "juicefs"])
def s3_place(request: pytest.FixtureRequest, settings: Any, client_of: Callable[..., APIClient]) -> Place:
    """Each S3 in turn."""
    return _place(request, settings, client_of, request.param)


@pytest.fixture
def local_place(request: pytest.FixtureRequest, settings: Any, client_of: Callable[..., APIClient]) -> Place:
    """The local folder behind a real web server."""
    return _place(request, settings, client_of, "local")


@pytest.fixture
def juicefs_place(request: pytest.FixtureRequest, settings: Any, client_of: Callable[..., APIClient]) -> Place:
    """An S3 that checks signatures."""
    return _place(request, settings, client_of, "juicefs")


def _place(request: pytest.FixtureRequest, settings: Any, client_of: Callable[..., APIClient], kind: str) -> Place:
    if kind == "local":
        server = request.getfixturevalue("live_server")
        settings.FILES_STORAGE_URL = str(request.getfixturevalue("tmp_path") / "files")
        defaults = {"HTTP_HOST": server.url.removeprefix("http://")}
    else:
        endpoint = request.getfixturevalue(f"{kind}_endpoint")
        settings.FILES_S3_ENDPOINT_URL = endpoint
        settings.FILES_STORAGE_URL = f"s3://{request.getfixturevalue('s3_bucket')(endpoint)}/some/prefix"
        defaults = {}
    user: User = request.getfixturevalue("user")
    return Place(kind, client_of(user, **defaults))


def stored_keys() -> list[str]:
    """Everything in the storage."""
    return [found.key for found in file_storage().list("")]


def stored(file: FileModel) -> bytes:
    """The bytes of a file."""
    storage = file_storage()
    return storage.read_range(file.file_path, 0, storage.stat(file.file_path).size_bytes)

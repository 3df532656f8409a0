"""Two users on every endpoint, nobody at all, and a manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from tests.django_integration.files.conftest import entry

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]

CSV = b"a,b\n1,2\n"


@pytest.fixture
def file(user: User) -> FileModel:
    """Uploaded by `user`, not confirmed."""
    file_storage().write("uploads/files/p/1.csv", CSV)
    return FileModel.objects.create(purpose="p", file_name="e.csv", file_path="uploads/files/p/1.csv", uploaded_by=user)


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("post", "/api/files/presign/"),
        ("post", "/api/files/confirm/"),
        ("get", "/api/files/"),
        ("get", "/api/files/1/"),
    ],
)
def test_nobody_gets_anything_without_a_login(db: None, method: str, address: str) -> None:
    response = getattr(APIClient(), method)(address)
    assert response.status_code == 401
    assert set(response.json()) == {"detail"}


def test_a_session_needs_its_csrf_token(user: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.login(username="demo", password="demo")  # noqa: S106
    for address in ("/api/files/presign/", "/api/files/confirm/"):
        response = client.post(address, {"purpose": "p", "file_name": "e.csv"})
        assert response.status_code == 403
        assert "CSRF" in response.json()["detail"]
    assert not FileModel.objects.filter(uploaded_by=user).exists()


def test_one_sees_ones_own_files_only(api: APIClient, other_api: APIClient, file: FileModel) -> None:
    assert [each["file_id"] for each in api.get("/api/files/").json()["results"]] == [file.pk]
    assert other_api.get("/api/files/").json()["results"] == []
    assert api.get(f"/api/files/{file.pk}/").status_code == 200
    response = other_api.get(f"/api/files/{file.pk}/")
    assert (response.status_code, response.json()) == (404, other_api.get("/api/files/999999/").json())


def test_a_foreign_file_and_an_unknown_one_are_answered_alike(other_api: APIClient, file: FileModel) -> None:
    request = {"files": [entry(file.pk, CSV), entry(10**12, CSV)]}
    foreign, unknown = other_api.post("/api/files/confirm/", request).json()["files"]
    assert foreign == {**unknown, "file_id": file.pk}
    assert foreign["error"] == {"code": "not_found", "message": "There is no such file."}


def test_files_of_nobody_belong_to_nobody(api: APIClient, file: FileModel) -> None:
    FileModel.objects.update(uploaded_by=None)
    assert api.get("/api/files/").json()["results"] == []
    assert api.get(f"/api/files/{file.pk}/").status_code == 404


def test_staff_need_the_permission(client_of: Callable[..., APIClient], manager: User, file: FileModel) -> None:
    staff = client_of(User.objects.create_user("staff", is_staff=True))
    assert staff.get(f"/api/files/{file.pk}/").status_code == 404
    managing = client_of(manager)
    assert managing.get(f"/api/files/{file.pk}/").status_code == 200
    assert managing.get("/api/files/").json()["count"] == 1
    (answer,) = managing.post("/api/files/confirm/", {"files": [entry(file.pk, CSV)]}).json()["files"]
    assert answer["is_confirmed"]
    file.refresh_from_db()
    assert file.uploaded_by is not None
    assert file.uploaded_by.username == "demo"


def test_a_file_shows_its_status_and_a_link_once_it_is_confirmed(api: APIClient, file: FileModel) -> None:
    waiting = api.get(f"/api/files/{file.pk}/")
    assert (waiting.json()["status"], waiting.json()["url"]) == ("waiting", None)
    api.post("/api/files/confirm/", {"files": [entry(file.pk, CSV)]})
    confirmed = api.get(f"/api/files/{file.pk}/")
    assert confirmed.json()["status"] == "confirmed"
    assert confirmed.json()["url"].startswith("http://testserver/api/files/download/")
    assert confirmed["Cache-Control"] == "private, no-store"
    # A list is no occasion for a hundred links.
    assert "url" not in api.get("/api/files/").json()["results"][0]


def test_the_list_comes_in_pages(api: APIClient, user: User) -> None:
    FileModel.objects.bulk_create(
        FileModel(purpose="p", file_name="e.csv", file_path=f"{number}", uploaded_by=user) for number in range(60)
    )
    first = api.get("/api/files/").json()
    assert (first["count"], len(first["results"])) == (60, 50)
    assert len(api.get("/api/files/?page=2").json()["results"]) == 10
    assert api.get("/api/files/?page=99").status_code == 404


@pytest.mark.parametrize("pk", ["0", "-1", str(2**63), "9" * 40, "x", "1.5", "null,null", "\0", "١"])
def test_ids_that_no_database_holds_are_not_found(api: APIClient, pk: str) -> None:
    assert api.get(f"/api/files/{pk}/").status_code == 404


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {},
        "x",
        [None],
        [{}],
        [{"file_id": "x", "checksum": "0" * 64, "size": 1}],
        [{"file_id": 0, "checksum": "0" * 64, "size": 1}],
        [{"file_id": 2**63, "checksum": "0" * 64, "size": 1}],
        [{"file_id": 1, "checksum": "abc", "size": 1}],
        [{"file_id": 1, "checksum": "0" * 64 + "\n0", "size": 1}],
        [{"file_id": 1, "checksum": "g" * 64, "size": 1}],
        [{"file_id": 1, "checksum": "0" * 64}],
        [{"file_id": 1, "checksum": "0" * 64, "size": -1}],
        [{"file_id": 1, "checksum": "0" * 64, "size": 1, "parts": [{"part_number": 0, "etag": "x"}]}],
        [{"file_id": 1, "checksum": "0" * 64, "size": 1, "parts": []}],
        [{"file_id": 1, "checksum": "0" * 64, "size": 1, "parts": [None]}],
        [{"file_id": 1, "checksum": "0" * 64, "size": 1}] * 101,
    ],
)
def test_a_request_of_a_wrong_form_names_the_field(api: APIClient, files: Any) -> None:
    response = api.post("/api/files/confirm/", {"files": files})
    assert response.status_code == 400
    assert set(response.json()) == {"files"}


def test_a_hundred_files_are_confirmed_by_one_request(api: APIClient, file: FileModel) -> None:
    response = api.post("/api/files/confirm/", {"files": [entry(file.pk, CSV)] * 100})
    assert {answer["status"] for answer in response.json()["files"]} == {"confirmed"}

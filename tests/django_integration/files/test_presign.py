"""What may be announced, and what is refused by name."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone, translation
from rest_framework.test import APIClient

from django_integration.files import limits, services
from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]

GUIDE = {"purpose": "employee_import", "file_name": "employees.csv"}


def errors(api: APIClient, **given: Any) -> dict[str, Any]:
    response = api.post("/api/files/presign/", {**GUIDE, **given})
    assert response.status_code == 400, response.data
    assert not FileModel.objects.exists()
    body: dict[str, Any] = response.json()
    return body


def test_the_guides_request_gives_a_link_and_a_file_that_is_not_confirmed(api: APIClient, user: User) -> None:
    response = api.post("/api/files/presign/", GUIDE)
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {
        "file_id",
        "presigned_url",
        "method",
        "headers",
        "expires_at",
        "file_name",
        "file_path",
        "multipart",
    }
    file = FileModel.objects.get(pk=body["file_id"])
    assert (file.purpose, file.uploaded_by, file.is_confirmed) == ("employee_import", user, False)
    assert file.file_path == body["file_path"]


@pytest.mark.parametrize("missing", ["purpose", "file_name"])
def test_purpose_and_name_are_needed(api: APIClient, missing: str) -> None:
    response = api.post("/api/files/presign/", {name: value for name, value in GUIDE.items() if name != missing})
    assert response.status_code == 400
    assert response.json() == {missing: ["This field is required."]}


def test_only_purposes_of_the_settings_are_taken(api: APIClient, settings: Any) -> None:
    settings.FILES_PURPOSES = {"employee_import": {}}
    assert errors(api, purpose="other") == {"purpose": ["There is no such purpose."]}
    assert api.post("/api/files/presign/", GUIDE).status_code == 201


@pytest.mark.parametrize("purpose", ["../x", "a/b", "a.b", "..", "-a", "a b", "ä", "x" * 101, "a\\b", "a%2Fb"])
def test_a_purpose_cannot_lead_out_of_its_folder(api: APIClient, purpose: str) -> None:
    assert set(errors(api, purpose=purpose)) == {"purpose"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../x.csv", "x.csv"),
        ("C:\\Users\\me\\x.csv", "x.csv"),
        ("/etc/passwd.csv", "passwd.csv"),
        ("..\\..\\x.csv", "x.csv"),
        ("Größe 北京 😀.csv", "Größe 北京 😀.csv"),
        ("a;b\"c'd.csv", "a;b\"c'd.csv"),
        ("%2e%2e%2fx.csv", "%2e%2e%2fx.csv"),
        ("x" * 251 + ".csv", "x" * 251 + ".csv"),
    ],
)
def test_the_name_is_kept_without_folders_and_is_never_a_path(api: APIClient, given: str, kept: str) -> None:
    response = api.post("/api/files/presign/", {**GUIDE, "file_name": given})
    assert response.status_code == 201
    file = FileModel.objects.get()
    assert file.file_name == response.json()["file_name"] == kept
    assert file.file_path.startswith("uploads/files/employee_import/")
    assert len(file.file_path) == len("uploads/files/employee_import/") + 36 + len(".csv")


@pytest.mark.parametrize(
    "name",
    [
        "x\r\nSet-Cookie: a=b.csv",
        "x\n.csv",
        "x\0.csv",
        "x\u202evsc.csv",
        "x\u2028.csv",
        "x" * 300 + ".csv",
        "",
        "   ",
        "..",
        "folder/",
        ".csv",
        "x.csv.exe",
        "x.html",
        "x",
        None,
        ["x.csv"],
        {},
    ],
)
def test_names_that_are_none_are_refused(api: APIClient, name: Any) -> None:
    assert set(errors(api, file_name=name)) == {"file_name"}


@pytest.mark.parametrize("field", ["purpose", "file_name", "content_type"])
def test_half_a_character_is_refused(api: APIClient, field: str) -> None:
    body = json.dumps({**GUIDE, field: "\ud800.csv"})
    response = api.post("/api/files/presign/", body, content_type="application/json")
    assert response.status_code == 400
    assert set(response.json()) == {field}


def test_control_characters_in_the_middle_are_refused_by_the_service_as_well(user: User) -> None:
    for name in ("a\rb.csv", "a\x7fb.csv", "a\ud800b.csv", "x" * 252 + ".csv"):
        with pytest.raises(ValidationError) as caught:
            services.presign(user, "p", name)
        assert set(caught.value.message_dict) == {"file_name"}


def test_the_extensions_are_the_purposes_or_the_general_ones(api: APIClient, settings: Any) -> None:
    settings.FILES_EXTENSIONS = [".csv"]
    settings.FILES_PURPOSES = {"employee_import": {}, "photo": {"extensions": ["PNG", ".tar.gz"]}}
    assert errors(api, file_name="x.txt") == {"file_name": ["Files of this type are not allowed; allowed: .csv."]}
    assert errors(api, purpose="photo") == {
        "file_name": ["Files of this type are not allowed; allowed: .png, .tar.gz."]
    }
    for name, ending in (("x.png", ".png"), ("x.TAR.GZ", ".tar.gz")):
        response = api.post("/api/files/presign/", {"purpose": "photo", "file_name": name})
        assert response.json()["file_path"].endswith(ending)


def test_an_announced_size_above_the_purposes_limit_is_refused(api: APIClient, settings: Any) -> None:
    settings.FILES_PURPOSES = {"employee_import": {"max_bytes": 2 * 1024 * 1024}}
    assert errors(api, size=2 * 1024 * 1024 + 1) == {"size": ["The file is larger than 2.0\xa0MB."]}
    assert api.post("/api/files/presign/", {**GUIDE, "size": 2 * 1024 * 1024}).status_code == 201


@pytest.mark.parametrize("size", [0, -1, "many", 1.5, 10**30, [1], True])
def test_a_size_is_a_number_of_bytes(api: APIClient, size: Any) -> None:
    if size is True:
        pytest.skip("DRF takes true for 1")
    assert set(errors(api, size=size)) == {"size"}


@pytest.mark.parametrize("content_type", ["text/html", "text", "text/csv\r\nX: y", "x" * 300, "text/csv, text/html"])
def test_content_types_are_the_purposes(api: APIClient, settings: Any, content_type: str) -> None:
    settings.FILES_PURPOSES = {"employee_import": {"content_types": ["text/csv"]}}
    assert set(errors(api, content_type=content_type)) == {"content_type"}


def test_a_user_has_so_many_unconfirmed_uploads_and_old_ones_make_room(api: APIClient, settings: Any) -> None:
    settings.FILES_MAX_UNCONFIRMED_PER_USER = 2
    first, second = (api.post("/api/files/presign/", GUIDE).json() for _ in range(2))
    response = api.post("/api/files/presign/", GUIDE)
    assert response.status_code == 400
    assert response.json() == {
        "non_field_errors": ["Too many uploads wait for their confirmation; confirm some first."]
    }
    file_storage().write(first["file_path"], b"abandoned")
    FileModel.objects.filter(pk=first["file_id"]).update(created_at=timezone.now() - timedelta(days=2))
    assert api.post("/api/files/presign/", GUIDE).status_code == 201
    assert not FileModel.objects.filter(pk=first["file_id"]).exists()
    assert FileModel.objects.filter(pk=second["file_id"]).exists()
    assert list(file_storage().list("")) == []


def test_confirmed_files_and_those_of_others_do_not_count(api: APIClient, other_api: APIClient, settings: Any) -> None:
    settings.FILES_MAX_UNCONFIRMED_PER_USER = 1
    assert other_api.post("/api/files/presign/", GUIDE).status_code == 201
    assert api.post("/api/files/presign/", GUIDE).status_code == 201
    FileModel.objects.update(is_confirmed=True)
    assert api.post("/api/files/presign/", GUIDE).status_code == 201


def test_a_storage_that_does_not_answer_is_a_503_that_tells_nothing(api: APIClient, settings: Any) -> None:
    settings.FILES_STORAGE_URL = "s3://bucket-of-ours"
    settings.FILES_S3_ENDPOINT_URL = "http://127.0.0.1:9"
    settings.FILES_MULTIPART_THRESHOLD_BYTES = 1
    response = api.post("/api/files/presign/", {**GUIDE, "size": 10})
    assert response.status_code == 503
    assert response.json() == {"detail": "The storage cannot be asked at the moment; try again later."}
    assert not FileModel.objects.exists()


def test_messages_are_translatable() -> None:
    with translation.override("de"):
        assert str(limits.too_large(limits.Limits(max_bytes=1, extensions=(), content_types=None)))

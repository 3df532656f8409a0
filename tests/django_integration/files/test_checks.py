"""System checks that name a wrong setting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from django_integration.files.checks import check_settings, check_storage, check_storage_writable
from tests.services import free_port

#: Django's own checks look at the database.
pytestmark = pytest.mark.django_db

GIB = 1024**3


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


def all_messages() -> Any:
    """Of all checks; Django 6.1 would look at the databases of other tests in this process, too."""
    return run_checks(databases=["default"])


def test_the_defaults_pass(folder: Path) -> None:
    assert check_settings() == check_storage() == []
    assert not [message for message in all_messages() if str(message.id).startswith("rowmill_files")]
    assert not folder.exists()
    assert check_storage_writable() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FILES_UPLOAD_EXPIRES", 901, "rowmill_files.W001"),
        ("FILES_UPLOAD_EXPIRES", 0, "rowmill_files.E003"),
        ("FILES_MULTIPART_THRESHOLD_BYTES", 5 * GIB + 1, "rowmill_files.E004"),
        ("FILES_MULTIPART_PART_BYTES", 1024, "rowmill_files.E005"),
        ("FILES_UPLOAD_PREFIX", "/uploads/", "rowmill_files.E006"),
        ("FILES_UPLOAD_PREFIX", "uploads/../", "rowmill_files.E006"),
        ("FILES_UPLOAD_PREFIX", "", "rowmill_files.E006"),
        ("FILES_PURPOSES", {"people": {"max_size": 1}}, "rowmill_files.E007"),
        ("FILES_PURPOSES", {"people": 1_000}, "rowmill_files.E008"),
        ("FILES_PURPOSES", {"people": None}, "rowmill_files.E008"),
    ],
)
def test_a_value_that_no_storage_takes_is_named(settings: Any, name: str, value: Any, expected: str) -> None:
    setattr(settings, name, value)
    messages = check_settings()
    assert ids(messages) == [expected]
    assert name in messages[0].msg


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "s3:///key"])
def test_an_address_that_is_none_is_named(settings: Any, url: str) -> None:
    settings.FILES_STORAGE_URL = url
    assert ids(check_storage()) == ["rowmill_files.E001"]


def test_no_storage_at_all_is_named(settings: Any) -> None:
    settings.MEDIA_ROOT = ""
    assert ids(check_storage()) == ["rowmill_files.E001"]


def test_a_folder_that_cannot_be_written_is_named(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.FILES_STORAGE_URL = str(tmp_path / "file" / "below")
    assert ids(check_storage()) == ids(check_storage_writable()) == ["rowmill_files.E002"]
    (tmp_path / "closed").mkdir(mode=0o500)
    settings.FILES_STORAGE_URL = str(tmp_path / "closed" / "below")
    if not os.access(tmp_path / "closed", os.W_OK):  # root may write everywhere
        assert ids(check_storage()) == ["rowmill_files.E002"]


def test_s3_is_contacted_at_a_deployment_check_only(settings: Any) -> None:
    settings.FILES_STORAGE_URL = "s3://bucket"
    settings.FILES_S3_ENDPOINT_URL = f"http://127.0.0.1:{free_port()}"
    assert check_storage() == []
    assert "rowmill_files.E002" not in ids(all_messages())

"""Imports in a project whose addresses, users and defaults are not those of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.services import s3_environment


def test_an_import_below_versions_and_namespaces_by_users_with_uuids(tmp_path: Path, valkey_url: str) -> None:
    environment = {**os.environ, **s3_environment(), "REDIS_URL": valkey_url, "TEST_MEDIA_ROOT": str(tmp_path)}
    for name in ("DATABASE_URL", "TEST_STORAGE_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tests.django_integration.other_project.story"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)

    assert urlsplit(told["upload"]).path.startswith("/api/v2/files/upload/")
    assert (told["put"], told["confirm"], told["files"]) == (200, 200, 1)
    assert urlsplit(told["location"]).path.startswith("/api/v2/imports/")
    # A request without a version is told of the default one.
    assert urlsplit(told["plain location"]).path.startswith("/api/v1/imports/")
    assert told["running"] == [told["person"]] * 2
    assert told["noted"]
    assert told["ended"] == ["succeeded", 1, 2]
    assert urlsplit(told["result"]).path.startswith("/api/v2/files/download/")
    assert told["text"].splitlines() == ["col_0,import_error", "Ana,odd", "Cy,odd"]
    assert set(told["statuses"].values()) == {200}
    assert told["acts"] == {"pause": 200, "resume": 200, "cancel": 200, "retry": 202}
    assert told["view cancel"] == 200
    assert told["admin"] == [200, 200, 200]
    assert told["created_by_id"] == {"type": "string", "format": "uuid", "readOnly": True, "nullable": True}


@pytest.mark.parametrize("name", ["rowmill_files:upload", "import-detail"])
def test_an_address_that_is_not_included_is_an_error_that_says_what_to_do(name: str, settings: object) -> None:
    from django.urls import NoReverseMatch

    from django_integration.addresses import address_of

    settings.ROOT_URLCONF = "tests.django_integration.myapp.no_urls"  # type: ignore[attr-defined]
    with pytest.raises(NoReverseMatch, match=r"include django_integration\.files\.api\.urls"):
        address_of(name, {"token": "x"})

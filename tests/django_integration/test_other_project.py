"""Imports in a project whose addresses, users and defaults are not those of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from django.test import RequestFactory
from django.urls import NoReverseMatch, include, path, resolve

from django_integration.addresses import address_of
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
    settings.ROOT_URLCONF = "tests.django_integration.myapp.no_urls"  # type: ignore[attr-defined]
    with pytest.raises(NoReverseMatch, match=r"include django_integration\.files\.api\.urls"):
        address_of(name, {"token": "x"})


@pytest.mark.parametrize(
    ("asked", "told"), [("/api/v3/people/", "/api/v3/imports/x/"), ("/plain/people/", "/plain/imports/x/")]
)
def test_a_request_is_told_of_addresses_beside_its_own_where_there_are_several(
    asked: str, told: str, settings: object, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [
        path("people/", lambda _: None, name="people"),
        path("imports/<pk>/", lambda _: None, name="import-detail"),
    ]
    project = ModuleType("both_ways")
    project.urlpatterns = [path("api/<version>/", include(views)), path("plain/", include(views))]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "both_ways", project)
    settings.ROOT_URLCONF = "both_ways"  # type: ignore[attr-defined]
    request = rf.get(asked)
    request.resolver_match = resolve(asked)
    assert urlsplit(address_of("import-detail", {"pk": "x"}, request)).path == told

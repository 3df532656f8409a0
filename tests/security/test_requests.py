"""Attacks by way of the body of a start: code by name, options without bounds."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob

pytestmark = pytest.mark.django_db

START = "/api/picky/import/"


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "shutil.rmtree",
        "antigravity.geohash",  # a module that nothing else loads: its import would show
        "tests.security.booby_trap.handler",
        "tests.django_integration.myapp.handlers.write",
        "tests.django_integration.myapp.handlers.accept ",
        "tests.django_integration.myapp.handlers.accept\n",
        "tests.django_integration.myapp.handlers..accept",
        "tests.django_integration.myapp.handlers.accept.__globals__",
        "TESTS.django_integration.myapp.handlers.accept",
        "",
    ],
)
def test_no_code_is_loaded_by_a_name_in_a_request(
    api: APIClient, stored_file: Callable[..., FileModel], path: str
) -> None:
    sys.modules.pop("antigravity", None)
    response = api.post(START, {"file_id": stored_file().pk, "options": {"handler_path": path}})
    assert response.status_code == 400, response.data
    assert list(response.data["options"]) == ["handler_path"]
    assert "antigravity" not in sys.modules
    assert "tests.security.booby_trap" not in sys.modules
    assert not ImportJob.objects.exists()


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "options",
    [
        {"note": "x" * 5_000_000},
        {f"option_{number}": number for number in range(100_000)},
        {"rows": list(range(1_000_000))},
        {"batch_size": 10**30},
        {"chunk_size": 10**12},
        {"header_rows": 10**9},
        {"delimiter": "," * 1_000_000},
        {"encoding": "u" * 1_000_000},
        {"deep": _nested(900)},
    ],
    ids=["long", "many", "wide", "batch", "chunk", "header", "delimiter", "encoding", "deep"],
)
def test_options_have_bounds(api: APIClient, stored_file: Callable[..., FileModel], options: Any) -> None:
    file = stored_file()
    began = time.process_time()
    response = api.post(START, {"file_id": file.pk, "options": options})
    assert response.status_code in (400, 413)
    assert not ImportJob.objects.exists()
    assert len(response.content) < 2_000  # what was sent does not come back
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"file_id": 1, "options": ' + '{"a":' * 5_000 + "1" + "}" * 5_001,
        '{"file_id": NaN}',
        '{"file_id": 1e400}',
    ],
    ids=["brackets", "objects", "nan", "infinite"],
)
def test_json_that_is_made_to_hurt_is_a_bad_request(api: APIClient, body: str) -> None:
    response = api.generic("POST", START, body, content_type="application/json")
    assert response.status_code == 400


@pytest.mark.parametrize("name", ["header_rows", "output_format", "handler_path", "option", "Options"])
def test_options_beside_options_are_refused_and_not_lost(
    api: APIClient, stored_file: Callable[..., FileModel], name: str
) -> None:
    """`header_rows: 0` there would be one row that is in no file."""
    response = api.post(START, {"file_id": stored_file().pk, name: 0})
    assert response.status_code == 400
    assert list(response.json()) == [name]
    assert "options" in response.json()[name][0]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("format_", ["multipart", "urlencoded"])
@pytest.mark.parametrize("name", ["options", "options[header_rows]", "header_rows"])
def test_options_of_a_form_that_nothing_would_read_are_refused(
    api: APIClient, stored_file: Callable[..., FileModel], format_: str, name: str
) -> None:
    response = _form(api, format_, {"file_id": stored_file().pk, name: '{"header_rows": 0}'})
    assert response.status_code == 400
    assert list(response.json()) == [name]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("format_", ["multipart", "urlencoded"])
@pytest.mark.parametrize("name", ["options.delimiter", "options.id"])
def test_options_of_a_form_are_said_one_by_one(
    api: APIClient, stored_file: Callable[..., FileModel], format_: str, name: str
) -> None:
    response = _form(api, format_, {"file_id": stored_file().pk, name: ";"})
    assert response.status_code == 202
    assert ImportJob.objects.get().options[name.removeprefix("options.")] == ";"


def _form(api: APIClient, format_: str, fields: dict[str, Any]) -> Any:
    if format_ == "multipart":
        return api.post(START, fields, format="multipart")
    return api.post(START, urlencode(fields), content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize("body", ["[1]", '"options"', "7", "null"])
def test_bodies_that_are_no_object_are_bad_requests(api: APIClient, body: str) -> None:
    assert api.post(START, body, content_type="application/json").status_code == 400


def test_other_fields_beside_options_are_let_be(api: APIClient, stored_file: Callable[..., FileModel]) -> None:
    body = {"file_id": stored_file().pk, "options": {"header_rows": 1}, "option": "of the client's own", "name": "x"}
    assert api.post(START, body).status_code == 202


def test_unknown_options_go_to_the_handler_and_nowhere_else(
    api: APIClient, stored_file: Callable[..., FileModel], run_to_end: Callable[[ImportJob], ImportJob]
) -> None:
    evil = {
        "owner": "x", "status": "succeeded", "created_by": 1, "workspace_url": "/etc", "output_url": "/etc",
        "source_etag": "x", "__class__": "x", "ledger_url": "sqlite:////tmp/x", "max_rows": 1, "temp_dir": "/etc",
    }  # fmt: skip
    response = api.post(START, {"file_id": stored_file().pk, "options": evil})
    job = run_to_end(ImportJob.objects.get(pk=response.data["import_job_id"]))
    assert (job.status, job.total_rows) == ("succeeded", 2)
    assert {name: job.options[name] for name in evil} == json.loads(json.dumps(evil))
    assert job.success_key.startswith("uploads/imports/")

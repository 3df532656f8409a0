"""A project whose Celery says `task_always_eager`, as many do in tests: an import is done when its request is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.ledger import attempts
from tests.django_integration.celery_app import app
from tests.services import free_port

#: The tests beside this one have it replaced.
SEND = bridge._send
#: A call within a call for each of them would be too deep.
CHUNKS = 60


@pytest.fixture(autouse=True)
def _eager(messages: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {"task_always_eager": app.conf.task_always_eager, "broker_url": app.conf.broker_url}
    app.set_current()
    app.conf.update(task_always_eager=True, broker_url=f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(bridge, "_send", SEND)
    monkeypatch.setattr(attempts, "_SQLITE_PAUSE_SECONDS", 0)  # for other writers, of which there are none
    yield
    app.conf.update(before)


@pytest.mark.django_db
@pytest.mark.parametrize("output_format", ["csv", "xlsx"])
def test_an_import_is_done_without_a_broker_when_its_request_is(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    django_capture_on_commit_callbacks: Any,
    output_format: str,
) -> None:
    file = stored_file("name,email\n" + "Ana,a@x\n" * (CHUNKS - 1) + "Bo,\n")
    options = {"chunk_size": 1, "output_format": output_format}
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post("/api/mymodels/import/", {"file_id": file.pk, "options": options})
    status = api.get("/api/import/status/", {"task_id": answer.data["import_job_id"]}).json()
    assert (status["status"], status["failure_count"]) == ("succeeded", 1)
    assert status["processed_rows"] == CHUNKS

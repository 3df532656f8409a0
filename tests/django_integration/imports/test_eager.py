"""A project whose Celery says `task_always_eager`, as many do in tests: an import is done when its request is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.ledger import attempts
from django_integration.imports.models import ImportJob
from engine.chunk_runner import ChunkRunner
from tests.django_integration.celery_app import app
from tests.services import free_port

#: The tests beside this one have it replaced.
SEND = bridge._send
#: A call within a call for each of them would be too deep.
CHUNKS = 60


@pytest.fixture(autouse=True)
def _eager(messages: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {name: app.conf[name] for name in ("task_always_eager", "task_eager_propagates", "broker_url")}
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


@pytest.mark.django_db
@pytest.mark.parametrize("propagates", [True, False])
def test_a_defect_in_one_step_leaves_none_of_the_others_undone(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
    propagates: bool,
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("defect")

    app.conf.update(task_eager_propagates=propagates)
    monkeypatch.setattr(ChunkRunner, "_note_cost", fail)
    file = stored_file("name,email\n" + "Ana,a@x\n" * 5)
    with suppress(ValueError), django_capture_on_commit_callbacks(execute=True):
        api.post("/api/mymodels/import/", {"file_id": file.pk, "options": {"chunk_size": 1}})
    assert ImportJob.objects.get().status == "failed"

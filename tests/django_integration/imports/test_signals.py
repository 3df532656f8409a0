"""A job's end is told once, by its signal, after it was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge, signals
from django_integration.imports.models import ImportJob

NAMES = ("import_finished", "import_failed", "import_cancelled")


@pytest.fixture
def told() -> Iterator[list[tuple[str, str, str]]]:
    """Signal, job and its status in the database, in the order in which they are told."""
    seen: list[tuple[str, str, str]] = []
    receivers = []
    for name in NAMES:

        def receiver(sender: Any, job: ImportJob, *, name: str = name, **_: Any) -> None:
            assert sender is ImportJob
            seen.append((name, str(job.pk), ImportJob.objects.get(pk=job.pk).status))

        receivers.append((getattr(signals, name), receiver))
        getattr(signals, name).connect(receiver)
    yield seen
    for signal, receiver in receivers:
        signal.disconnect(receiver)


def start(api: APIClient, file: FileModel) -> ImportJob:
    answer = api.post("/api/mymodels/import/", {"file_id": file.pk})
    return ImportJob.objects.get(pk=answer.data["import_job_id"])


def test_a_finished_job(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    told: list[tuple[str, str, str]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    job = start(api, stored_file())
    with django_capture_on_commit_callbacks(execute=True):
        run_to_end(job)
        assert told == []  # nothing before the commit
        bridge.process_parts().steps.finish(str(job.pk))  # a copy of the message
    assert told == [("import_finished", str(job.pk), "succeeded")]


def test_a_failed_job(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    told: list[tuple[str, str, str]],
    django_capture_on_commit_callbacks: Any,
    tmp_path: Any,
) -> None:
    file = stored_file()
    job = start(api, file)
    (tmp_path / "media" / file.file_path).unlink()
    with django_capture_on_commit_callbacks(execute=True):
        run_to_end(job)
    assert told == [("import_failed", str(job.pk), "failed")]


def test_a_cancelled_job(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    told: list[tuple[str, str, str]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    job = start(api, stored_file())
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            assert api.post(f"/api/imports/{job.pk}/cancel/").status_code == 200
    assert told == [("import_cancelled", str(job.pk), "cancelled")]


def test_a_receiver_that_raises_harms_neither_the_job_nor_the_others(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    django_capture_on_commit_callbacks: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def raising(**_: Any) -> None:
        raise ZeroDivisionError

    seen: list[Any] = []

    def seeing(job: ImportJob, **_: Any) -> None:
        seen.append(job.pk)

    signals.import_finished.connect(raising)
    signals.import_finished.connect(seeing)
    try:
        job = start(api, stored_file())
        with django_capture_on_commit_callbacks(execute=True):
            assert run_to_end(job).status == "succeeded"
    finally:
        signals.import_finished.disconnect(raising)
        signals.import_finished.disconnect(seeing)
    assert seen == [job.pk]
    assert "signal receiver failed" in caplog.text

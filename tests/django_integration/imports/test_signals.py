"""A job's end is told by its signal, after it was committed: once, and once more where that may have been lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import announcing, bridge, signals, sweeping, tasks
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


Told = list[tuple[str, str, str]]


@pytest.fixture
def untold(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    django_capture_on_commit_callbacks: Any,
) -> ImportJob:
    """A job whose process died right behind the commit of its end, longer ago than receivers may take."""
    job = start(api, stored_file())
    with django_capture_on_commit_callbacks():  # and not called
        run_to_end(job)
    assert job.announce_due_at is not None
    assert job.announce_due_at > timezone.now() + timedelta(seconds=announcing.PATIENCE_SECONDS - 20)
    return make_overdue(job)


def make_overdue(job: ImportJob, **changes: Any) -> ImportJob:
    ImportJob.objects.filter(pk=job.pk).update(announce_due_at=timezone.now() - timedelta(seconds=1), **changes)
    job.refresh_from_db()
    return job


def deliver(messages: list[tuple[Any, ...]]) -> int:
    """Run the task of each message that is one to merge or tell; how many there were."""
    found = [job_id for task, job_id, *_ in messages if task == bridge.FINISH_TASK]
    messages.clear()
    for job_id in found:
        tasks.finish(job_id)
    return len(found)


def test_recovery_has_a_worker_tell_what_was_not_told(untold: ImportJob, messages: list[Any], told: Told) -> None:
    bridge.recover_all()
    bridge.recover_all()  # of another worker
    assert told == []  # not in the loop's own process
    assert deliver(messages) == 2
    assert told == [("import_finished", str(untold.pk), "succeeded")]
    bridge.recover_all()
    assert messages == []


def test_what_is_not_overdue_is_left_to_whoever_tells(untold: ImportJob, messages: list[Any], told: Told) -> None:
    ImportJob.objects.update(announce_due_at=timezone.now() + timedelta(seconds=5))
    bridge.recover_all()
    assert messages == []
    tasks.finish(str(untold.pk))  # a copy of an old message
    assert told == []


def test_a_process_that_dies_among_the_receivers_is_followed_by_another(
    untold: ImportJob, messages: list[Any], told: Told
) -> None:
    def dying(**_: Any) -> None:
        raise KeyboardInterrupt  # as far as this process is concerned

    signals.import_finished.connect(dying)
    try:
        with pytest.raises(KeyboardInterrupt):
            tasks.finish(str(untold.pk))
    finally:
        signals.import_finished.disconnect(dying)
    bridge.recover_all()
    assert messages == []  # the next try has its minute, too
    make_overdue(untold)
    bridge.recover_all()
    assert deliver(messages) == 1
    assert told == [("import_finished", str(untold.pk), "succeeded")] * 2


def test_a_sweep_tells_it_too(untold: ImportJob, told: Told) -> None:
    assert sweeping.sweep(dry_run=True).untold_ends == 1
    assert told == []
    assert sweeping.sweep().untold_ends == 1
    assert sweeping.sweep().untold_ends == 0
    assert told == [("import_finished", str(untold.pk), "succeeded")]


def test_a_receiver_that_raises_has_been_told(untold: ImportJob, caplog: pytest.LogCaptureFixture) -> None:
    def raising(**_: Any) -> None:
        raise ZeroDivisionError

    signals.import_finished.connect(raising)
    try:
        tasks.finish(str(untold.pk))
    finally:
        signals.import_finished.disconnect(raising)
    assert "signal receiver failed" in caplog.text
    assert announcing.overdue() == []
    untold.refresh_from_db()
    assert untold.announce_due_at is None


def test_after_a_day_nothing_is_told_any_more(untold: ImportJob) -> None:
    assert announcing.overdue() == [str(untold.pk)]
    make_overdue(untold, finished_at=timezone.now() - timedelta(seconds=announcing.GIVEN_UP_SECONDS + 1))
    assert announcing.overdue() == []


def test_the_end_of_a_resumed_job_is_its_own(
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    told: Told,
    messages: list[Any],
    django_capture_on_commit_callbacks: Any,
    tmp_path: Any,
) -> None:
    file = stored_file()
    job = start(api, file)
    path = tmp_path / "media" / file.file_path
    hidden = path.rename(path.with_suffix(".hidden"))
    with django_capture_on_commit_callbacks():  # it died
        assert run_to_end(job).status == "failed"
    first_end = job.finished_at
    hidden.rename(path)
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"/api/imports/{job.pk}/resume/").status_code == 200
    job.refresh_from_db()
    assert job.announce_due_at is None  # that end is no more
    with django_capture_on_commit_callbacks(execute=True):
        assert run_to_end(job).status == "succeeded"
    assert told == [("import_finished", str(job.pk), "succeeded")]
    assert job.finished_at != first_end
    assert announcing.overdue() == []

"""What nobody needs any more is removed, on a folder and on S3; what a running job has is left alone."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from django_integration.imports import bridge, services, sweeping, tasks
from django_integration.imports.models import ImportJob
from engine.errors import StorageError, StorageUnavailableError
from engine.storage.local_write import temporary_name

pytestmark = pytest.mark.django_db

RunToEnd = Callable[[ImportJob], ImportJob]
MakeJob = Callable[..., ImportJob]
TEXT = b"n\n" + b"".join(b"%d\n" % n for n in range(1, 41))


@pytest.fixture(params=["local", "moto"])
def storage(request: pytest.FixtureRequest, settings: Any) -> Any:
    """Where files are: the folder of `_own_parts`, or a bucket."""
    if request.param == "moto":
        endpoint = request.getfixturevalue("moto_endpoint")
        settings.FILES_S3_ENDPOINT_URL = endpoint
        settings.FILES_STORAGE_URL = f"s3://{request.getfixturevalue('s3_bucket')(endpoint)}/some/prefix"
        bridge.forget_parts()
    return file_storage()


@pytest.fixture
def make_job(storage: Any, user: User) -> MakeJob:
    """`make_job(**options)`: planned in four chunks, of which the first has run."""

    def make(**options: Any) -> ImportJob:
        key = f"uploads/files/{FileModel.objects.count()}.csv"
        storage.write(key, TEXT)
        info = storage.stat(key)
        file = FileModel.objects.create(
            purpose="people_import", file_name="people.csv", file_path=key, is_confirmed=True, uploaded_by=user,
            size=info.size_bytes, etag=info.etag,
        )  # fmt: skip
        request = services.StartRequest(
            user=user,
            file_id=file.pk,
            options={"chunk_size": 10, **options},
            handler_path="tests.django_integration.myapp.handlers.refuse_odd",
        )
        job, _ = services.start(request)
        steps = bridge.process_parts().steps
        steps.plan(str(job.pk))
        steps.chunk(str(job.pk), 0)
        job.refresh_from_db()
        return job

    return make


def keys_of(storage: Any, job: ImportJob) -> list[str]:
    return [info.key for info in storage.list(f"uploads/imports/{job.pk}/")]


def parts_of(storage: Any, job: ImportJob) -> list[str]:
    return [key for key in keys_of(storage, job) if "/parts/" in key]


def go_on(job: ImportJob, messages: list[Any]) -> ImportJob:
    """Do what the messages of this job order, until it has ended; those of others stay."""
    steps = bridge.process_parts().steps
    do = {
        bridge.PLAN_TASK: steps.plan,
        bridge.CHUNK_TASK: steps.chunk,
        bridge.FINISH_TASK: steps.finish,
        bridge.HELP_TASK: steps.help,
    }
    while mine := [message for message in messages if message[1] == str(job.pk)]:
        messages.remove(mine[0])
        task, *arguments = mine[0]
        do[task](*arguments)
    job.refresh_from_db()
    return job


def fail(job: ImportJob) -> ImportJob:
    coordinator = bridge.process_parts().coordinator
    assert coordinator.fail(str(job.pk), StorageError("full"))
    assert coordinator.finish(str(job.pk))
    job.refresh_from_db()
    return job


def age(job: ImportJob, days: float) -> None:
    ImportJob.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=days))


def test_parts_that_a_merge_could_not_remove_go_and_a_running_job_keeps_its_own(
    storage: Any, make_job: MakeJob, messages: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, ended = make_job(), make_job()

    def refuses(*_: Any) -> None:
        raise StorageUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "delete", refuses)
        assert go_on(ended, messages).status == "succeeded"
        assert sweeping.sweep().parts == 0
    kept = parts_of(storage, running)
    assert (len(kept), len(parts_of(storage, ended))) == (2, 8)
    assert sweeping.sweep(dry_run=True).parts == 8
    assert len(parts_of(storage, ended)) == 8
    assert sweeping.sweep().parts == 8
    assert sweeping.sweep() == sweeping.Swept()
    assert (parts_of(storage, running), parts_of(storage, ended)) == (kept, [])
    running.refresh_from_db()
    assert go_on(running, messages).success_count == 20
    assert len(keys_of(storage, ended)) == 2


def test_a_failed_job_keeps_its_parts_until_its_time_and_is_resumed_no_more_afterwards(
    storage: Any, make_job: MakeJob, settings: Any, api: APIClient
) -> None:
    job = fail(make_job())
    assert sweeping.sweep() == sweeping.Swept()
    settings.IMPORT_FAILED_PARTS_RETENTION_DAYS = 3
    age(job, 2)
    assert sweeping.sweep() == sweeping.Swept()
    age(job, 4)
    assert sweeping.sweep(dry_run=True).parts == 2
    assert api.post(f"/api/imports/{job.pk}/resume/").status_code == 200
    job = fail(job)
    age(job, 4)
    assert sweeping.sweep().parts == 2
    answer = api.post(f"/api/imports/{job.pk}/resume/")
    assert (answer.status_code, "too long ago" in answer.json()["detail"]) == (409, True)
    assert len(keys_of(storage, job)) == 3


def test_a_sweep_that_broke_off_is_brought_to_its_end(
    storage: Any, make_job: MakeJob, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fail(make_job())
    age(job, 4)
    settings.IMPORT_FAILED_PARTS_RETENTION_DAYS = 3

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            sweeping.sweep()
    settings.IMPORT_FAILED_PARTS_RETENTION_DAYS = None
    assert sweeping.sweep().parts == 2
    assert parts_of(storage, job) == []


def test_result_files_go_after_their_time_and_the_record_keeps_its_counts(
    storage: Any, make_job: MakeJob, messages: list[Any], settings: Any, api: APIClient
) -> None:
    settings.IMPORT_RESULT_RETENTION_DAYS = 30
    new, old = (go_on(make_job(output_format="xlsx"), messages) for _ in range(2))
    age(new, 29)
    age(old, 31)
    records = [old.success_file_id, old.failed_file_id]
    assert sweeping.sweep(dry_run=True).result_files == 2
    assert sweeping.sweep().result_files == 2
    assert sweeping.sweep().result_files == 0
    assert keys_of(storage, old) == []
    assert len(keys_of(storage, new)) == 2 + 4  # and the parts that the refused rows are shown from
    assert not FileModel.objects.filter(pk__in=records).exists()
    shown = api.get(f"/api/imports/{old.pk}/").json()
    assert (shown["status"], shown["success_count"], shown["failure_count"]) == ("succeeded", 20, 20)
    empty = {"file_id": None, "url": None}
    assert shown["result_files"] == {"success_file": empty, "failed_file": empty}
    assert shown["errors_by_message"] == {"odd": 20}
    assert api.get(f"/api/imports/{old.pk}/errors/").json()["results"] == []
    assert api.post(f"/api/imports/{old.pk}/retry/").status_code == 409


def test_a_result_that_another_job_imports_stays(
    storage: Any, make_job: MakeJob, messages: list[Any], settings: Any, api: APIClient
) -> None:
    settings.IMPORT_RESULT_RETENTION_DAYS = 30
    job = go_on(make_job(), messages)
    assert api.post("/api/dynamic/import/", {"file_id": job.failed_file_id}).status_code == 202
    age(job, 31)
    assert sweeping.sweep().result_files == 1
    job.refresh_from_db()
    assert (job.success_key, job.success_file, bool(job.failed_key)) == ("", None, True)
    assert keys_of(storage, job) == [job.failed_key]


def test_uploads_that_were_never_confirmed_go_after_their_time(storage: Any, user: User, settings: Any) -> None:
    files = {}
    for name, days in (("young", 0.5), ("old", 2.0), ("confirmed", 2.0)):
        storage.write(f"uploads/files/{name}.csv", b"x")
        files[name] = FileModel.objects.create(
            purpose="p", file_name="a.csv", file_path=f"uploads/files/{name}.csv", uploaded_by=user
        )
        FileModel.objects.filter(pk=files[name].pk).update(
            created_at=timezone.now() - timedelta(days=days), is_confirmed=name == "confirmed"
        )
    settings.FILES_UNCONFIRMED_RETENTION_DAYS = None
    assert sweeping.sweep().unconfirmed_files == 0
    settings.FILES_UNCONFIRMED_RETENTION_DAYS = 1
    assert sweeping.sweep(dry_run=True).unconfirmed_files == 1
    assert sweeping.sweep().unconfirmed_files == 1
    assert sorted(info.key for info in storage.list("uploads/")) == [
        "uploads/files/confirmed.csv",
        "uploads/files/young.csv",
    ]
    assert set(FileModel.objects.all()) == {files["young"], files["confirmed"]}


def leave_unfinished(request: pytest.FixtureRequest, storage: Any, key: str, tmp_path: Any) -> None:
    """As a process does that was killed long ago while it wrote."""
    if not storage.url.startswith("s3://"):
        path = tmp_path / "media" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        left = path.with_name(temporary_name())
        left.write_bytes(b"half")
        os.utime(left, (1, 1))
        return
    client = request.getfixturevalue("s3_client")(request.getfixturevalue("moto_endpoint"))
    bucket, _, prefix = storage.url.removeprefix("s3://").partition("/")
    client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{key}")


def test_writes_that_were_given_up_are_dropped_but_not_those_of_running_jobs_and_waiting_uploads(
    request: pytest.FixtureRequest, storage: Any, make_job: MakeJob, messages: list[Any], user: User, tmp_path: Any
) -> None:
    running, ended = make_job(), go_on(make_job(), messages)
    running.refresh_from_db()
    assert running.status == "running"
    if storage.url.startswith("s3://"):
        # A folder's leftovers do not have the name of what they were to become.
        FileModel.objects.create(
            purpose="p", file_name="a.csv", file_path="uploads/files/waits.csv", uploaded_by=user, upload_id="u"
        )
        leave_unfinished(request, storage, "uploads/files/waits.csv", tmp_path)
    for key in (f"uploads/imports/{running.pk}/a.csv", f"uploads/imports/{ended.pk}/a.csv", "uploads/files/gone.csv"):
        leave_unfinished(request, storage, key, tmp_path)
    leave_unfinished(request, storage, "elsewhere/of-somebody-else.csv", tmp_path)
    assert sweeping.sweep(dry_run=True).unfinished_uploads == 2
    assert sweeping.sweep().unfinished_uploads == 2
    assert sweeping.sweep().unfinished_uploads == 0
    left = storage.remove_unfinished("", older_than_seconds=3600)
    assert len(left) == (3 if storage.url.startswith("s3://") else 2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["_remove_parts", "_remove_results"])
def test_a_sweep_in_the_middle_of_another_does_no_harm(
    make_job: MakeJob,
    messages: list[Any],
    settings: Any,
    storage: Any,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    settings.IMPORT_RESULT_RETENTION_DAYS = 30
    running, ended = make_job(), go_on(make_job(), messages)
    age(ended, 31)
    remove, others = getattr(sweeping, step), []

    def remove_after_another_sweep(*arguments: Any, **options: Any) -> Any:
        if not others:  # the other finds what this one has found, and is through before this one goes on
            others.append(None)
            others.append(sweeping.sweep())
        return remove(*arguments, **options)

    monkeypatch.setattr(sweeping, step, remove_after_another_sweep)
    sweeping.sweep()
    assert len(others) == 2
    assert keys_of(storage, ended) == []
    assert len(parts_of(storage, running)) == 2


def test_parts_of_jobs_whose_rows_were_deleted_go_after_a_day(
    make_job: MakeJob, messages: list[Any], storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, deleted, ended = make_job(), make_job(), go_on(make_job(), messages)
    storage.write(f"uploads/imports/{deleted.pk}/.rowmill/staged/{deleted.pk}/a.arrow", b"staged")
    storage.write(f"uploads/imports/{deleted.pk}/people.success.csv", b"a user's")
    storage.write("uploads/imports/notes/.rowmill/parts/notes/a.csv", b"somebody else's")
    before = {info.key for info in storage.list("")}
    gone = {key for key in before if str(deleted.pk) in key and "/.rowmill/" in key}
    assert len(gone) == 3
    ImportJob.objects.filter(pk=deleted.pk).delete()
    assert sweeping.sweep() == sweeping.Swept()
    monkeypatch.setattr(sweeping, "_UNFINISHED_SECONDS", -5.0)
    assert sweeping.sweep(dry_run=True).unknown_parts == 3
    assert {info.key for info in storage.list("")} == before
    assert sweeping.sweep().unknown_parts == 3
    assert {info.key for info in storage.list("")} == before - gone
    assert sweeping.sweep() == sweeping.Swept()
    assert len(parts_of(storage, running)) == 2
    assert len(keys_of(storage, ended)) == 2


def test_the_command_and_the_task_do_the_same(make_job: MakeJob, messages: list[Any], settings: Any) -> None:
    settings.IMPORT_RESULT_RETENTION_DAYS = 30
    jobs = [go_on(make_job(), messages) for _ in range(2)]
    age(jobs[0], 31)
    said = io.StringIO()
    call_command("sweep_imports", "--dry-run", stdout=said)
    assert "result files would be removed: 2" in said.getvalue()
    call_command("sweep_imports", stdout=said)
    assert "result files removed: 2" in said.getvalue()
    age(jobs[1], 31)
    tasks.sweep()
    jobs[1].refresh_from_db()
    assert jobs[1].success_key == ""

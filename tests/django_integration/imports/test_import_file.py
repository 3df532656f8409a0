"""`manage.py import_file`: from a file of this machine to the result files."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from django_integration.conf import storage_root
from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob
from tests.django_integration.myapp.models import SeenRow

pytestmark = pytest.mark.django_db(transaction=True)

HANDLERS = "tests.django_integration.myapp.handlers"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("name,email\n" + "".join(f"person {number},p{number}@x\n" for number in range(1, 11)))
    return path


def run(path: Path, handler: str = "refuse_odd", *flags: str) -> int:
    """The exit code."""
    try:
        call_command("import_file", str(path), "--handler", f"{HANDLERS}.{handler}", *flags)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def result(job: ImportJob, kind: str) -> list[list[str]]:
    with (Path(storage_root()) / getattr(job, f"{kind}_key")).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_local_run_needs_neither_broker_nor_redis(
    people: Path,
    messages: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(*_: Any) -> None:
        raise AssertionError("a local run has no business with Redis")

    monkeypatch.setattr("engine.progress.RedisProgress.from_url", away)
    assert run(people, "refuse_odd", "--local", "--option", "chunk_size=3", "--option", "batch_size=1") == 0
    job = ImportJob.objects.get()
    assert (job.status, job.success_count, job.failure_count, job.created_by) == ("succeeded", 5, 5, None)
    assert job.chunks.count() == 4
    assert [row[0] for row in result(job, "success")[1:]] == [f"person {number}" for number in (2, 4, 6, 8, 10)]
    assert [row[-1] for row in result(job, "failed")[1:]] == ["odd"] * 5
    assert messages == []
    out, err = capsys.readouterr()
    assert "succeeded     5" in out
    assert "people.success.csv" in out or job.success_key in out
    assert "has begun" in err


def test_the_file_is_taken_in_as_confirmed(people: Path, user: User) -> None:
    import hashlib

    assert run(people, "accept", "--local", "--user", "demo", "--purpose", "people_import") == 0
    file = FileModel.objects.get(purpose="people_import")
    assert (file.uploaded_by, file.is_confirmed, file.file_name) == (user, True, "people.csv")
    assert (file.size, file.checksum) == (people.stat().st_size, hashlib.sha256(people.read_bytes()).hexdigest())
    assert (Path(storage_root()) / file.file_path).read_bytes() == people.read_bytes()
    assert ImportJob.objects.get().created_by == user


def test_options_go_to_the_engine_and_to_the_handler(people: Path) -> None:
    assert run(people, "write", "--local", "--option", "refused=[2, 3]", "--option", "header_rows=0") == 0
    job = ImportJob.objects.get()
    assert (job.total_rows, job.failure_count) == (11, 2)
    rows = SeenRow.objects.order_by("row_index").values_list("row_index", flat=True)
    assert list(rows) == [1, *range(4, 12)]


def patch_pause(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], Any]) -> None:
    """The command's own clock: a library that is first imported meanwhile would keep another `time.sleep` for ever."""
    clock = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if name != "sleep"}, sleep=pause)
    monkeypatch.setattr("django_integration.imports.management.commands.import_file.time", clock)


def test_without_local_the_workers_get_it(
    people: Path,
    messages: list[Any],
    run_to_end: Callable[[ImportJob], ImportJob],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first look finds the job queued; before the second one a worker has done it.
    patch_pause(monkeypatch, lambda _: run_to_end(ImportJob.objects.get()))
    assert run(people) == 0
    assert ImportJob.objects.get().status == "succeeded"
    assert "succeeded     5" in capsys.readouterr().out
    assert messages == []


def test_without_waiting_only_the_id_is_told(
    people: Path, messages: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(people, "accept", "--no-wait") == 0
    job = ImportJob.objects.get()
    assert capsys.readouterr().out.strip() == str(job.pk)
    assert job.status == "queued"
    assert messages == [(bridge.PLAN_TASK, str(job.pk))]


def test_ctrl_c_leaves_the_job_to_the_workers(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    patch_pause(monkeypatch, interrupt)
    with pytest.raises(CommandError, match="goes on without this command") as caught:
        run(people)
    assert caught.value.returncode == 130
    assert ImportJob.objects.get().status == "queued"


def test_ctrl_c_cancels_a_local_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("n\n" + "".join(f"{number}\n" for number in range(1, 3_001)))
    flags = ["--local", "--option", "seconds_per_row=0.01", "--option", "chunk_size=50", "--option", "batch_size=10"]

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(2.0, interrupt)
    # What a shell has started in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        assert run(path, "write_slowly", *flags) == 6
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    job = ImportJob.objects.get()
    assert job.status == "cancelled"
    assert 0 < job.success_count < 3_000
    assert SeenRow.objects.count() == job.success_count
    assert len(result(job, "success")) == job.success_count + 1


def test_a_job_that_fails_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "blank.csv"
    path.write_text("\n\n\n")
    assert run(path, "accept", "--local") == 5
    assert "error" in capsys.readouterr().out
    assert ImportJob.objects.get().status == "failed"


@pytest.mark.parametrize(
    ("flags", "message", "code"),
    [
        (["--option", "batch_size=0"], "batch_size must be from 1", 2),
        (["--option", "batch_size"], "KEY=VALUE", 2),
        (["--option", "a=1", "--option", "a=2"], "given twice", 2),
        (["--user", "nobody"], "no user nobody", 2),
        (["--purpose", "../x"], "letters, digits", 2),
        (["--local", "--no-wait"], "--no-wait", 1),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_stored(
    people: Path, flags: list[str], message: str, code: int
) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        run(people, "accept", *flags)
    assert caught.value.returncode == code
    assert (FileModel.objects.count(), ImportJob.objects.count()) == (0, 0)
    assert not (Path(storage_root()) / "uploads").exists()


def test_a_handler_or_a_file_that_is_not_there_is_told(people: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be loaded") as caught:
        run(people, "nothing_like_it")
    assert caught.value.returncode == 3
    with pytest.raises(CommandError, match="There is no file"):
        run(tmp_path / "missing.csv")
    assert FileModel.objects.count() == 0


def test_a_file_that_is_no_table_or_too_large_for_its_purpose_is_refused(
    tmp_path: Path, people: Path, settings: Any
) -> None:
    picture = tmp_path / "people.csv.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    picture = picture.rename(tmp_path / "picture.csv")
    with pytest.raises(CommandError, match="a PNG picture"):
        run(picture)
    settings.FILES_PURPOSES = {"small": {"max_bytes": 10}}
    with pytest.raises(CommandError, match="larger than"):
        run(people, "accept", "--purpose", "small")
    with pytest.raises(CommandError, match="no such purpose"):
        run(people, "accept", "--purpose", "large")
    assert FileModel.objects.count() == 0

# ruff: noqa: S607 - our own program
"""The same commands with Celery workers."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery

import engine
from engine import JobReport
from engine.ledger import open_ledger
from engine.runtime.celery_tasks import CeleryExecutor
from tests.celery_workers import CeleryWorker, celery_worker
from tests.cli.command_line import (
    HANDLERS,
    environment,
    read_table,
    start,
    the_object,
    wait_for_rows,
    wait_until,
    warm_rowmill,
    write_table,
)

HANDLER = f"{HANDLERS}.refuse_sevenths"

#: The worker looks after every job of every ledger it has heard of five times a second.
PACE = {"ROWMILL_RECOVERY_SECONDS": "0.2", "ROWMILL_RESEND_SECONDS": "0.2"}


@pytest.fixture(scope="module")
def worker(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryWorker]:
    """It has one process."""
    with celery_worker(tmp_path_factory.mktemp("worker"), valkey_url, concurrency=1, environment=PACE) as started:
        yield started


@pytest.fixture
def redis_url(valkey_url: str, worker: CeleryWorker) -> str:
    """The broker of the worker."""
    return valkey_url


def test_celery_gives_the_same_report_and_files_as_local(tmp_path: Path, redis_url: str) -> None:
    write_table(tmp_path / "t.csv", 500)
    words = ["run", "t.csv", "--handler", HANDLER, "--chunk-size", "100", "--json"]
    ways = {"local": [], "celery": ["--redis-url", redis_url]}
    reports = {}
    for way, more in ways.items():
        done = warm_rowmill(*words, "--executor", way, *more, "--output-dir", way, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        reports[way] = the_object(done.stdout)
    for field in ("status", "total_rows", "processed_rows", "success_count", "failure_count", "percentage"):
        assert reports["celery"][field] == reports["local"][field]
    for name in ("t.success.csv", "t.failed.csv"):
        assert (tmp_path / "celery" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_an_empty_file_has_the_same_exit_code(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "t.csv").touch()
    words = ["run", "t.csv", "--handler", HANDLER, "--executor", "celery", "--redis-url", redis_url, "--json"]
    done = warm_rowmill(*words, cwd=tmp_path)
    assert done.returncode == 13, done.stderr
    assert the_object(done.stdout)["error_code"] == "source_empty"
    assert "Traceback" not in done.stderr


def test_after_ctrl_c_the_job_goes_on_and_can_be_asked_for_and_ended(tmp_path: Path, redis_url: str) -> None:
    write_table(tmp_path / "t.csv", 2_000)
    gate = tmp_path / "go"
    held = ("--option", f"gate={gate}", "--option", "gate_row=301", "--chunk-size", "100", "--batch-size", "20")
    words = ["run", "t.csv", "--handler", HANDLER, *held, "--executor", "celery", "--redis-url", redis_url]
    process = start(*words, cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "goes on" in stderr
    ask, end = (re.search(rf"with: (rowmill {command} .*)", stderr) for command in ("status", "cancel"))
    assert ask is not None
    assert end is not None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def report(command: str) -> dict[str, object]:
        done = subprocess.run(
            ["bash", "-c", f"{command} --json"],
            cwd=elsewhere,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return the_object(done.stdout)

    assert report(ask[1])["status"] == "running"
    report(end[1])
    gate.touch()
    wait_until(lambda: report(ask[1])["status"] == "cancelled")
    ended = report(ask[1])
    results = tmp_path / "rowmill-results"
    assert len(read_table(results / "t.success.csv")) == ended["success_count"]
    assert len(read_table(results / "t.failed.csv")) == ended["failure_count"]


def test_a_local_job_in_a_ledger_that_workers_look_after_is_left_alone_by_them(
    tmp_path: Path, redis_url: str, worker: CeleryWorker
) -> None:
    write_table(tmp_path / "t.csv", 500)
    where = ["--output-dir", "out", "--chunk-size", "10"]
    known = ["run", "t.csv", "--handler", HANDLER, "--executor", "celery", "--redis-url", redis_url, *where]
    assert warm_rowmill(*known, cwd=tmp_path).returncode == 0
    before = len(worker.log.read_text())
    # Beside whoever calls, where the worker does not find it.
    (tmp_path / "only_here.py").write_text(
        "import os, pathlib, time\n"
        "def accept(row_index, row, import_job_id, options):\n"
        "    pathlib.Path('ran').mkdir(exist_ok=True)\n"
        "    pathlib.Path(f'ran/{os.getpid()}').touch()\n"
        "    time.sleep(0.004)\n"
        "    return {'ok': True, 'result': {}}\n"
    )
    process = start("run", "t.csv", "--handler", "only_here.accept", "--workers", "1", "--json", *where, cwd=tmp_path)

    def newest() -> JobReport:
        return engine.status(output_dir=tmp_path / "out")

    wait_until(lambda: newest().job.executor == "local" and newest().counts.processed_rows >= 20)
    # Of messages that name it, as those of a job that was Celery's before, none does anything either.
    job = newest().job
    url = f"sqlite:///{tmp_path}/out/.rowmill/ledger.sqlite3"
    app = Celery("rowmill", broker=redis_url, set_as_current=False)
    stale = CeleryExecutor(app, url)
    stale.send_plan(job.job_id)
    stale.send_chunks(job.job_id, range(20, 50))
    stale.send_finish(job.job_id)
    stdout, stderr = process.communicate(timeout=60)
    report = the_object(stdout)
    assert (process.returncode, report["status"], report["success_count"]) == (0, "succeeded", 500), stderr
    assert report["id"] == job.job_id
    assert len(list((tmp_path / "ran").iterdir())) == 1
    with closing(open_ledger(url)) as books:
        assert {state.attempt for state in books.chunk_states(job.job_id)} == {1}

    # It was there all the time, and had the messages.
    def log() -> str:
        return worker.log.read_text()[before:]

    wait_until(lambda: log().count("rowmill.run_chunk") >= 30 and "rowmill.finish_job" in log())
    assert "failed" not in log()


@pytest.mark.parametrize(("first", "second"), [("local", "celery"), ("celery", "local")])
def test_a_job_is_resumed_by_the_executor_it_had_or_handed_over_to_another(
    tmp_path: Path, redis_url: str, first: str, second: str
) -> None:
    write_table(tmp_path / "t.csv", 140)
    where = ["--redis-url", redis_url]
    flags = ["--handler", HANDLER, "--chunk-size", "10", "--max-errors", "6", "--executor", first]
    workers = {"local": ["--workers", "1"], "celery": []}
    assert warm_rowmill("run", "t.csv", *flags, *workers[first], *where, cwd=tmp_path).returncode == 52
    results = tmp_path / "rowmill-results"
    begun = engine.status(output_dir=results).job
    assert begun.executor == first

    def resume(*more: str) -> int:
        return warm_rowmill("resume", *more, *where, cwd=tmp_path).returncode

    # It gets its error budget anew, and spends it.
    assert resume(*workers[first]) == 52
    assert engine.status(output_dir=results).job.executor == first
    assert resume("--executor", second, *workers[second]) == 0
    ended = engine.status(output_dir=results)
    assert (ended.job.job_id, ended.job.executor) == (begun.job_id, second)
    assert (ended.counts.success_count, ended.counts.failure_count) == (120, 20)
    assert [int(row[0]) for row in read_table(results / "t.failed.csv")] == list(range(7, 141, 7))

# ruff: noqa: S607 - our own program
"""The same commands with Celery workers."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.celery_workers import celery_worker
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
#: About two seconds of work for one process.
SLOW = ("--option", "delay_seconds=0.002", "--chunk-size", "100", "--batch-size", "20")


@pytest.fixture(scope="module")
def redis_url(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The broker of a worker that has one process."""
    with celery_worker(tmp_path_factory.mktemp("worker"), valkey_url, concurrency=1):
        yield valkey_url


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
    words = ["run", "t.csv", "--handler", HANDLER, *SLOW, "--executor", "celery", "--redis-url", redis_url]
    process = start(*words, cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
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
    wait_until(lambda: report(ask[1])["status"] == "cancelled")
    ended = report(ask[1])
    results = tmp_path / "rowmill-results"
    assert len(read_table(results / "t.success.csv")) == ended["success_count"]
    assert len(read_table(results / "t.failed.csv")) == ended["failure_count"]

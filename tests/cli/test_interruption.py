# ruff: noqa: S311, S607 - our own program, and numbers that only spread the moments
"""A run that is killed, interrupted or cancelled loses nothing and doubles nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command_line import (
    HANDLERS,
    environment,
    read_table,
    start,
    the_object,
    wait_for_rows,
    warm_rowmill,
    write_table,
)

ROWS = 2_000
RUN = ("run", "my table.csv", "--handler", f"{HANDLERS}.refuse_sevenths")
SIZES = ("--workers", "2", "--chunk-size", "150", "--batch-size", "25")
#: About two seconds of work for two processes.
SLOW = (*RUN, "--option", "delay_seconds=0.002", *SIZES)
#: Not over before the test has made the file `go`.
HELD = (*RUN, "--option", "gate=go", "--option", "gate_row=301", *SIZES)
FILES = ("my table.success.csv", "my table.failed.csv")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The result files of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_table(folder / "my table.csv", ROWS)
    assert warm_rowmill(*RUN, cwd=folder).returncode == 0
    return _files(folder)


def test_an_interrupt_while_the_command_loads_ends_it_without_a_traceback() -> None:
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "engine.cli.command":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
import engine.cli
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_resumed_gives_the_same_files_byte_for_byte(
    tmp_path: Path, undisturbed: dict[str, bytes], seed: int
) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*SLOW, cwd=tmp_path)
    time.sleep(random.Random(seed).uniform(0.3, 2.5))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = warm_rowmill(*SLOW, "--resume", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert the_object(done.stdout)["processed_rows"] == ROWS
    assert _files(tmp_path) == undisturbed


def test_killed_again_and_again_it_still_ends_right(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    delays = random.Random(7)
    for _ in range(5):
        process = start(*SLOW, "--resume", cwd=tmp_path)
        time.sleep(delays.uniform(0.4, 1.2))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert warm_rowmill(*SLOW, "--resume", cwd=tmp_path).returncode == 0
    assert _files(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_that_command_works(
    tmp_path: Path, undisturbed: dict[str, bytes], number: signal.Signals
) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    process.send_signal(number)
    (tmp_path / "go").touch()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    command = re.search(r"Go on with: (.*)", stderr)
    assert command is not None, stderr
    assert command[1].startswith("rowmill run --resume 'my table.csv'")
    again = subprocess.run(
        ["bash", "-c", command[1]], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert _files(tmp_path) == undisturbed


def test_json_of_an_interrupted_run_has_the_job_as_it_was_left(tmp_path: Path) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, "--json", cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    # To all of the group, as a terminal does it.
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "go").touch()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    report = the_object(stdout)
    assert (report["status"], report["error_code"]) == ("running", "interrupted")
    assert 100 <= report["processed_rows"] < ROWS
    assert (
        the_object(warm_rowmill("status", "--json", cwd=tmp_path).stdout)["processed_rows"] == report["processed_rows"]
    )


def test_a_new_job_hints_at_the_one_that_was_left(tmp_path: Path) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = warm_rowmill(*RUN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--resume would go on with it" in done.stderr.splitlines()[0]


def test_a_cancel_from_another_process_ends_the_run_with_exact_files(tmp_path: Path) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, "--json", cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    asked = warm_rowmill("cancel", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    assert "will end after the batches in hand" in asked.stdout
    (tmp_path / "go").touch()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 6, stderr
    report = the_object(stdout)
    assert report["status"] == "cancelled"
    assert 100 <= report["processed_rows"] < ROWS
    accepted, refused = (read_table(tmp_path / "rowmill-results" / name) for name in FILES)
    assert (len(accepted), len(refused)) == (report["success_count"], report["failure_count"])
    indexes = [int(row[0]) for row in accepted]
    assert indexes == sorted(set(indexes))
    assert not any(index % 7 == 0 for index in indexes)
    assert all(int(row[0]) % 7 == 0 for row in refused)
    again = warm_rowmill("cancel", cwd=tmp_path)
    assert (again.returncode, "is cancelled" in again.stdout) == (0, True)


def test_a_cancel_ends_a_job_that_nobody_runs_any_more(tmp_path: Path) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    asked = warm_rowmill("cancel", "--json", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    report = the_object(asked.stdout)
    assert (report["status"], report["phase"]) == ("cancelled", None)
    accepted, refused = (read_table(tmp_path / "rowmill-results" / name) for name in FILES)
    assert (len(accepted), len(refused)) == (report["success_count"], report["failure_count"])
    assert report["processed_rows"] >= 100


def test_a_cancelled_job_is_not_resumed_but_begun_anew(tmp_path: Path) -> None:
    write_table(tmp_path / "my table.csv", ROWS)
    process = start(*HELD, "--json", cwd=tmp_path)
    wait_for_rows(tmp_path / "rowmill-results", 100, process)
    warm_rowmill("cancel", cwd=tmp_path)
    (tmp_path / "go").touch()
    cancelled = the_object(process.communicate(timeout=60)[0])
    done = warm_rowmill(*HELD, "--resume", "--json", cwd=tmp_path)
    report = the_object(done.stdout)
    assert (done.returncode, report["processed_rows"]) == (0, ROWS)
    assert report["id"] != cancelled["id"]


def _files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "rowmill-results" / name).read_bytes() for name in FILES}

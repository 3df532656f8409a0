"""The command's workers are forks of it that behave as fresh interpreters do."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from engine.errors import HandlerError
from engine.runtime.local_fork import can_fork
from tests.cli.command_line import read_table, rowmill, start, the_object, write_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")

HANDLER = """
import atexit, os, pathlib, signal, sys, time

def tell(row_index, row, import_job_id, options):
    if not hasattr(tell, "began"):
        tell.began = print("hello")
        atexit.register(lambda: os.write(1, f"bye from {os.getpid()}\\n".encode()))
    if "folder" in options:
        folder = pathlib.Path(options["folder"])
        (folder / f"{os.getpid()}.pid").touch()
        while not (folder / "gate").exists():
            time.sleep(0.01)
    return {"ok": True, "result": {
        "pid": os.getpid(), "command": pathlib.Path("/proc/self/cmdline").read_text(), "stdin": sys.stdin.read(),
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "polars": "polars" in sys.modules,
    }}
"""


def test_a_forked_worker_has_its_own_streams_signals_and_end(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANDLER)
    write_table(tmp_path / "t.csv", 40)
    words = ["run", "t.csv", "--handler", "mine.tell", "--workers", "2", "--chunk-size", "10", "--json"]
    done = rowmill(*words, cwd=tmp_path)
    assert the_object(done.stdout)["success_count"] == 40, "what the handler prints is not on stdout"
    results = [json.loads(row[-1]) for row in read_table(tmp_path / "rowmill-results" / "t.success.csv")]
    assert all("mine.tell" in result["command"] for result in results), "a fresh interpreter has another command line"
    assert {(result["stdin"], result["term"], result["polars"]) for result in results} == {("", True, False)}
    for pid in {result["pid"] for result in results}:
        assert f"bye from {pid}\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_forked_workers_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANDLER)
    write_table(tmp_path / "t.csv", 40)
    process = start(
        *("run", "t.csv", "--handler", "mine.tell", "--workers", "2", "--chunk-size", "10"),
        *("--option", f"folder={tmp_path}"),
        cwd=tmp_path,
    )
    deadline = time.monotonic() + 60
    while len(pids := [int(path.stem) for path in tmp_path.glob("*.pid")]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = [psutil.Process(pid) for pid in pids]
    process.send_signal(signal.SIGKILL)
    (tmp_path / "gate").touch()
    _, alive = psutil.wait_procs(workers, timeout=60)
    process.communicate()
    assert not alive, "each hears of its parent's end, as no sibling holds the other end of its socket"


def test_a_process_of_several_threads_is_not_forked() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        ended.set()
        thread.join()


BATCH_HANDLER = """
import os, pathlib
import polars as pl

print("a module that prints")
with open(pathlib.Path(__file__).with_name("importers"), "a") as file:
    file.write(f"{os.getpid()} {os.getppid()}\\n")

def accept(first_row_index, batch, import_job_id, options):
    return [None] * len(batch)
"""


def test_a_batch_handler_is_loaded_by_the_workers_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BATCH_HANDLER)
    write_table(tmp_path / "t.csv", 40)
    done = rowmill("run", "t.csv", "--batch-handler", "mine.accept", "--workers", "2", "--json", cwd=tmp_path)
    assert the_object(done.stdout)["success_count"] == 40, "what the module prints is not on stdout"
    importers = [tuple(line.split()) for line in (tmp_path / "importers").read_text().splitlines()]
    assert len(importers) == 2
    assert len({parent for _, parent in importers}) == 1, "each is a child of the command"


@pytest.mark.parametrize(
    ("module", "path", "says"),
    [
        (BATCH_HANDLER, "mine.acept", "did you mean 'accept'?"),
        (BATCH_HANDLER, "yours.accept", "there is no module 'yours'"),
        ("import no_such_package", "mine.accept", "imports 'no_such_package', which is not installed"),
        ("1 / 0", "mine.accept", "its module fails with ZeroDivisionError: division by zero"),
    ],
)
def test_a_batch_handler_that_does_not_load_in_a_worker_begins_no_job(
    tmp_path: Path, module: str, path: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(module)
    write_table(tmp_path / "t.csv", 40)
    done = rowmill("run", "t.csv", "--batch-handler", path, cwd=tmp_path)
    assert done.returncode == HandlerError.exit_code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    jobs = rowmill("status", "--json", cwd=tmp_path)
    assert jobs.returncode != 0, "there is no job"


def test_a_module_that_ends_its_process_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys\nsys.exit('no such luck')")
    write_table(tmp_path / "t.csv", 40)
    done = rowmill("run", "t.csv", "--batch-handler", "mine.accept", cwd=tmp_path)
    assert done.returncode == HandlerError.exit_code
    assert "its module fails with SystemExit: no such luck" in done.stderr


def test_a_worker_that_dies_of_loading_leaves_the_word_to_the_command(tmp_path: Path) -> None:
    module = "import os, pathlib\nmark = pathlib.Path(__file__).with_name('died')\n"
    module += "if not mark.exists():\n    mark.touch()\n    os._exit(9)\n" + BATCH_HANDLER
    (tmp_path / "mine.py").write_text(module)
    write_table(tmp_path / "t.csv", 40)
    done = rowmill("run", "t.csv", "--batch-handler", "mine.accept", "--workers", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"success_count": 40' in done.stdout

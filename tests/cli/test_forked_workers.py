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

"""The `rowmill` command as a process of its own, as a user starts it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import engine
from tests.cli.warm_command import WarmCommand

ROOT = Path(__file__).parents[2]
ROWMILL = str(Path(sys.executable).with_name("rowmill"))
HANDLERS = "tests.cli.sample_handlers"


def environment(**changes: str) -> dict[str, str]:
    """Of this process, with the script on the path and the tests importable, without settings of rowmill."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROWMILL_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        # A chunk that a killed run had handed out is handed out again after this long.
        "ROWMILL_RESEND_SECONDS": "0.5",
        **changes,
    }


def rowmill(*words: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, from a fresh start."""
    return subprocess.run(
        [ROWMILL, *words], cwd=cwd, env=environment(**changes), capture_output=True, text=True, timeout=90, check=False
    )


def warm_rowmill(*words: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, in a process of its own that has the command loaded: where it is not the start that is tried."""
    assert not changes.keys() & {"PYTHONPATH", "ROWMILL_FAILPOINTS"}, "which count at the start"
    return _warm_command().run([*words], cwd=cwd, environment=environment(**changes))


@cache
def _warm_command() -> WarmCommand:
    return WarmCommand(ROWMILL, environment())


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start in a process group of its own, which a test can kill as a whole."""
    return subprocess.Popen(
        [ROWMILL, *words],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background of a shell ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def the_object(stdout: str) -> dict[str, Any]:
    """The one JSON object that is all of stdout."""
    document = json.loads(stdout)
    assert isinstance(document, dict)
    return document


def write_table(path: Path, rows: int) -> Path:
    """A CSV with a header and `rows` rows whose first cell is the row's index."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name"])
        writer.writerows([row_index, f"näme, {row_index}"] for row_index in range(1, rows + 1))
    return path


def read_table(path: str | Path) -> list[list[str]]:
    """The rows below the header."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def wait_for_rows(output_dir: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until the job's ledger has that many rows."""
    wait_until(lambda: process.poll() is not None or _rows(output_dir) >= count)
    if process.poll() is not None:
        raise AssertionError(f"ended with {process.returncode} too soon: {process.communicate()}")


def wait_until(is_true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _rows(output_dir: Path) -> int:
    try:
        return engine.status(output_dir=output_dir).counts.processed_rows
    except engine.RowmillError:
        return 0

"""Local runs with real worker processes, none of which may be left when a test ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

import engine
from engine.config import EngineConfig
from engine.model import Job
from engine.report import JobReport
from tests.in_process import HANDLERS, csv_bytes, numbered

#: Seconds within which something that is to happen must have happened.
PATIENCE_SECONDS = 30
#: Names the test in the environment of all processes that it starts, however they are related to it.
_MARK = "ROWMILL_TEST_FOLDER"

Results = tuple[bytes, bytes]


def wait_until(happened: Callable[[], Any], what: str) -> None:
    """For events of other processes, which tell nobody."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


class Child:
    """`engine.run` in a process of its own, to be interrupted, stopped and killed."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.child", json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            # A test run in the background of a shell ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.pid = self._process.pid

    def told(self) -> dict[str, Any]:
        """Its last word: status, or the code of the error."""
        out, _ = self._process.communicate(timeout=PATIENCE_SECONDS)
        told: dict[str, Any] = json.loads(out)
        return told

    def signal(self, number: int) -> None:
        """To it alone, as `kill` does."""
        os.kill(self.pid, number)

    def signal_all(self, number: int) -> None:
        """To it and its workers, as a terminal does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """It alone; its workers are orphans then."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class LocalRuns:
    """A folder with a source, to be imported by worker processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "people.csv"
        self.output = folder / "out"
        self.effects = folder / "effects"
        #: Files that handlers make and wait for.
        self.mark, self.reached, self.gate = folder / "mark", folder / "reached", folder / "gate"
        self.config = EngineConfig(progress_interval_seconds=0)
        self._children: list[Child] = []
        #: Processes that this test has not started; most of those of the machine.
        self._others = set(psutil.pids())

    def write(self, rows: int, **more: Any) -> None:
        self.source.write_bytes(csv_bytes(numbered(rows, **more)))

    def run(self, handler: str, *, output: Path | None = None, **more: Any) -> JobReport:
        """`engine.run`, every call of the handler recorded in `effects`."""
        more = {"workers": 2, "config": self.config, "effects": str(self.effects), **more}
        return engine.run(self.source, f"{HANDLERS}.{handler}", output_dir=output or self.output, **more)

    def start_child(self, handler: str, **options: Any) -> Child:
        arguments = {
            "source": str(self.source),
            "handler": f"{HANDLERS}.{handler}",
            "output_dir": str(self.output),
            "config": asdict(self.config),
            "effects": str(self.effects),
            "workers": 2,
            **options,
        }
        self._children.append(Child(arguments))
        return self._children[-1]

    def undisturbed(self, handler: str = "accept", **options: Any) -> Results:
        """The two files as a run in one process, with an output folder of its own, makes them."""
        folder = self.folder / "undisturbed"
        self.run(handler, output=folder, workers=1, **{"effects": str(self.folder / "other effects"), **options})
        return self.results(folder)

    def gates(self, row: int) -> dict[str, Any]:
        """Options of the handler `waits`."""
        return {"row": row, "reached": str(self.reached), "gate": str(self.gate)}

    def wait_until_reached(self) -> int:
        """Until the handler `waits` does; gives the worker's process id."""
        wait_until(self.reached.exists, "the handler")
        return int(self.reached.read_text())

    def calls(self) -> Counter[int]:
        """Row index → how often its handler was called."""
        return Counter(map(int, self.effects.read_text().split()))

    def results(self, output: Path | None = None) -> Results:
        folder = output or self.output
        return (folder / "people.success.csv").read_bytes(), (folder / "people.failed.csv").read_bytes()

    def job(self) -> Job:
        """The newest, as the ledger has it."""
        return engine.status(output_dir=self.output, config=self.config).job

    def processes(self) -> list[psutil.Process]:
        """All that were started by this test and live, children or orphans."""
        found = []
        for pid in sorted(set(psutil.pids()) - self._others):
            try:
                process = psutil.Process(pid)
                mine = process.environ().get(_MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if mine:
                found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Living worker processes."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):  # ended meanwhile
                if "local_worker" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def close(self) -> None:
        self.gate.touch()
        for child in self._children:
            child.kill()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRuns]:
    monkeypatch.setenv(_MARK, str(tmp_path))
    made = LocalRuns(tmp_path)
    yield made
    made.close()
    _, left = psutil.wait_procs(made.processes(), timeout=PATIENCE_SECONDS)
    for process in left:
        process.send_signal(signal.SIGKILL)
    assert left == []

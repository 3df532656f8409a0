"""`scripts/serve` as a process of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 90.0
#: The first time it installs packages.
_READY_SECONDS = 170.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A running `scripts/serve`."""

    process: subprocess.Popen[str]
    url: str
    data_dir: Path

    def descendants(self) -> list[psutil.Process]:
        """All processes that it has started, and those that these have."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_STOP_SECONDS)

    def check_stop(self, number: int) -> None:
        """Have a signal end it well, with all that it has started."""
        started = self.descendants()
        assert len(started) > 5
        assert self.stop(number) == 0
        assert [process for process in started if lives(process)] == []


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def serve(data_dir: Path, environment: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Start it on a free port with data of its own, and yield once it has said that it is ready.

    Raises:
        AssertionError: it ended instead, or said something else.
    """
    log = data_dir.with_name(f"{data_dir.name}.stderr")
    services = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "FILES_STORAGE_URL", "DJANGO_SETTINGS_MODULE")
    inherited = {name: value for name, value in os.environ.items() if name not in services}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [str(_ROOT / "scripts" / "serve")],
            env={**inherited, "PORT": "0", "SERVE_DATA_DIR": str(data_dir), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    timer = threading.Timer(_READY_SECONDS, process.terminate)
    timer.start()
    try:
        line = process.stdout.readline()
        timer.cancel()
        assert line.startswith("ready http://127.0.0.1:"), f"{line!r}\n{log.read_text()}"
        yield Serving(process, line.split()[1], data_dir)
    finally:
        timer.cancel()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()
        process.stdout.close()

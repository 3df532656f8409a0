"""Real Celery workers as process groups of their own, so that a test can kill a child or all of one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class CeleryWorker:
    """One worker: a parent and its pool of children."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def children(self) -> list[int]:
        """Process ids of the pool, without helpers of multiprocessing and billiard."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if not re.search("(resource|semaphore)_tracker", " ".join(child.cmdline())):
                        found.append(child.pid)
        return found

    def kill_all(self) -> None:
        """SIGKILL to the whole group, as when a machine goes down."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def celery_worker(
    folder: Path,
    redis_url: str,
    *,
    concurrency: int,
    environment: Mapping[str, str] | None = None,
    app: str = "engine.runtime.celery_app",
    checks: bool = False,
    pool: str = "prefork",
) -> Iterator[CeleryWorker]:
    """A worker that has said it is ready; it is ended warmly, and killed if that takes too long.

    Args:
        folder: for its log.
        environment: variables beside REDIS_URL.
        app: where the Celery app is.
        checks: have each of its processes run Django's system checks first, as Celery does of itself; most of the
            time of its start.
        pool: Celery's name for how it runs several tasks at once.
    """
    log = folder / f"worker-{concurrency}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                *(() if checks else ("--skip-checks",)),
                "-A",
                app,
                "worker",
                "--pool",
                pool,
                "--concurrency",
                str(concurrency),
                "--loglevel",
                "INFO",
                "--hostname",
                f"{log.stem}@localhost",
                # Workers listen for each other for a second before they begin, and do not need to.
                "--without-mingle",
                "--without-gossip",
            ],
            cwd=_ROOT,
            env={**os.environ, "REDIS_URL": redis_url, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    worker = CeleryWorker(process, log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while b" ready." not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The worker did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.05)
        yield worker
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        worker.kill_all()

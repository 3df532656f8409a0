"""The whole stack on free ports: PostgreSQL, Valkey, S3, web server, Celery workers that a supervisor starts again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from tests import services
from tests.acceptance.http_user import HttpUser
from tests.postgres_server import start_postgres

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "scripts" / "example"
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


class Supervised:
    """A program that is started again whenever it has ended, as an init system would."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self._is_wanted = True
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the program as it runs now."""
        return self._process.pid

    def children(self) -> list[int]:
        """Its child processes that do work."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self.pid).children() if _does_work(child)]
        return []

    def signal_all(self, number: int) -> None:
        """A signal to the program and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM to the program alone, as a deploy does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """End it for good."""
        self._is_wanted = False
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self.signal_all(signal.SIGKILL)
        self._process.wait()
        self._thread.join()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _watch(self) -> None:
        while self._is_wanted:
            if self._process.poll() is not None:
                # Children of a program that was killed alone end by themselves, or with what they have in hand.
                self._process = self._start()
            time.sleep(0.1)


def _does_work(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        words = " ".join(process.cmdline())
        # Multiprocessing's and billiard's helpers, which clean up semaphores.
        return process.status() != psutil.STATUS_ZOMBIE and not re.search("(resource|semaphore)_tracker", words)
    return False


class Stack:
    """What runs, and how it is reached."""

    def __init__(self, redis_url: str, database_url: str, user: HttpUser, workers: list[Supervised], web: Supervised):
        self.redis_url = redis_url
        self.database_url = database_url
        self.user = user
        self.workers = workers
        self.web = web

    def database(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of its own to the project's database."""
        return psycopg.connect(self.database_url, autocommit=True)


@contextmanager
def start_stack(
    folder: Path, *, workers: int, concurrency: int, lease_seconds: float | None, forks: bool = False
) -> Iterator[Stack]:
    """Start all of it; it is gone afterwards.

    Args:
        folder: for data and logs.
        workers: Celery workers, each a process group.
        concurrency: children of each.
        lease_seconds: the pace of recovery; None for the defaults of production.
        forks: whether children are forked (`tests.chaos.celery_app`); else they are spawned, as in production.
    """
    with ExitStack() as stack:
        redis_url = stack.enter_context(services.start_valkey(own=True))
        postgres_url = stack.enter_context(start_postgres())
        s3_endpoint = stack.enter_context(services.start_juicefs())
        name = f"chaos_{os.getpid()}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        database_url = f"{postgres_url.rpartition('/')[0]}/{name}"
        environment = {
            **os.environ,
            **services.s3_environment(),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(EXAMPLE))),
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "S3_ENDPOINT_URL": s3_endpoint,
            "FILES_STORAGE_URL": "s3://chaos",
            "SERVE_DATA_DIR": str(folder / "data"),
        }
        if lease_seconds is not None:
            environment["CHAOS_LEASE_SECONDS"] = str(lease_seconds)
        prepare = [sys.executable, str(EXAMPLE / "manage.py"), "prepare_example"]
        subprocess.run(prepare, env=environment, check=True, stdout=subprocess.DEVNULL)

        def supervised(name: str, command: list[str]) -> Supervised:
            started = Supervised(name, [sys.executable, "-m", *command], environment, folder / f"{name}.log")
            stack.callback(started.stop)
            return started

        port = services.free_port()
        web = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "4", "--no-control-socket"]
        server = supervised("web", [*web, "project.wsgi:application"])
        app = "tests.chaos.celery_app" if forks else "project"
        celery = [
            "celery",
            "--skip-checks",
            "-A",
            app,
            "worker",
            "--loglevel",
            "INFO",
            "--concurrency",
            str(concurrency),
            # Workers listen for each other for a second before they begin, and do not need to.
            *(("--without-mingle", "--without-gossip") if forks else ()),
        ]
        started = [
            supervised(f"worker-{number}", [*celery, "--hostname", f"chaos-{number}@%h"])
            for number in range(1, workers + 1)
        ]
        user = HttpUser(f"http://127.0.0.1:{port}", "demo", "demo")
        _wait_until_ready(user, started)
        yield Stack(redis_url, database_url, user, started, server)


def _wait_until_ready(user: HttpUser, workers: list[Supervised]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting = list(workers)
    while True:
        with suppress(OSError):
            waiting = [worker for worker in waiting if b" ready." not in worker.log.read_bytes()]
            if not waiting and user.get("/api/imports/").status == 200:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("\n".join(worker.log.read_text()[-2000:] for worker in workers))
        time.sleep(0.2)

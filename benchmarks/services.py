"""The servers that cases need: started at their first use, once for all cases, and stopped at the end.

A server that an environment variable names (`REDIS_URL`, `DATABASE_URL`, `S3_ENDPOINT_URL`) is used instead; its
processor time is not seen then. Workers are up before any clock starts, as they are in an installation.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg

from tests import services
from tests.celery_workers import CeleryWorker, celery_worker
from tests.postgres_server import start_postgres

ROOT = Path(__file__).parents[1]
BUCKET = "benchmark"

#: Its answers go out in two writes, headers and body, and without TCP_NODELAY the second waits 40 ms for the reader's
#: delayed acknowledgement whenever it is small, which no S3 does.
_LOCALBUCKET = "import localbucket as bucket; bucket.S3Handler.disable_nagle_algorithm = True; bucket.main()"

_WORKERS = ("worker-1", "worker-2", "django-1", "django-2")


class Services:
    """What runs, and by which addresses. Each Celery worker has a Redis database, and a PostgreSQL one, of its own."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: for logs and data.
        """
        self._folder = folder
        self._stack = ExitStack()
        self.addresses: dict[str, str] = {}
        self._workers: dict[str, CeleryWorker] = {}
        self._not_mine = {process.pid for process in psutil.Process().children()}

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def use(self, *names: str) -> dict[str, str]:
        """Start what is missing of these; returns the environment of those who use them."""
        for name in sorted(names, key=lambda name: "-" in name):
            if "-" in name:
                self._use_worker(name)
            elif name not in self.addresses:
                start = {"redis": services.start_valkey, "postgresql": start_postgres, "s3": _s3}[name]
                self.addresses[name] = self._stack.enter_context(start())
                if name == "s3":
                    _make_bucket(self.addresses[name])
        return self._environment(next((name for name in names if "-" in name), None))

    def workers(self, *names: str) -> list[int]:
        """Process ids of the Celery workers among these."""
        return [self._workers[name].process.pid for name in names if name in self._workers]

    def servers(self) -> list[int]:
        """Process ids of everything else that was started."""
        workers = {worker.process.pid for worker in self._workers.values()}
        return sorted({process.pid for process in psutil.Process().children()} - self._not_mine - workers)

    def _environment(self, worker: str | None) -> dict[str, str]:
        environment = {**services.s3_environment(), "FILES_STORAGE_URL": f"s3://{BUCKET}"}
        if "s3" in self.addresses:
            environment["S3_ENDPOINT_URL"] = self.addresses["s3"]
        if "redis" in self.addresses:
            number = 1 + _WORKERS.index(worker) if worker else 0
            environment["REDIS_URL"] = f"{self.addresses['redis'].rpartition('/')[0]}/{number}"
        if "postgresql" in self.addresses:
            name = f"benchmark_{worker.replace('-', '_')}" if worker else "benchmark"
            environment["DATABASE_URL"] = _database(self.addresses["postgresql"], name)
        return environment

    def _use_worker(self, name: str) -> None:
        if name in self._workers:
            return
        environment = {**self._environment(name), "PYTHONPATH": str(ROOT)}
        app = "engine.runtime.celery_app"
        if name.startswith("django-"):
            app = "benchmarks.project.celery"
            environment["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
            migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
            subprocess.run(migrate, check=True, cwd=ROOT, env={**os.environ, **environment})  # noqa: S603 - our own command
        worker = celery_worker(
            self._folder,
            environment["REDIS_URL"],
            concurrency=int(name.partition("-")[2]),
            environment=environment,
            app=app,
        )
        self._workers[name] = self._stack.enter_context(worker)


def _database(server_url: str, name: str) -> str:
    """The URL of a database of that name, made where it is missing."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server_url.rpartition('/')[0]}/{name}"


@contextmanager
def _s3() -> Iterator[str]:
    """localbucket, the quickest that there is for one machine; without it the JuiceFS gateway."""
    if os.environ.get("S3_ENDPOINT_URL") or importlib.util.find_spec("localbucket") is None:
        with services.start_juicefs() as endpoint:
            yield endpoint
        return

    def command(port: int, folder: Path) -> list[str]:
        return [sys.executable, "-c", _LOCALBUCKET, "--port", str(port), str(folder)]

    with services._server(command, services._answers_http("/")) as port:
        yield f"http://127.0.0.1:{port}"


def _make_bucket(endpoint: str) -> None:
    import boto3
    from botocore.config import Config

    settings = services.s3_environment()
    session = boto3.session.Session(
        aws_access_key_id=settings.get("AWS_ACCESS_KEY_ID", os.environ.get("AWS_ACCESS_KEY_ID")),
        aws_secret_access_key=settings.get("AWS_SECRET_ACCESS_KEY", os.environ.get("AWS_SECRET_ACCESS_KEY")),
        region_name=settings["AWS_DEFAULT_REGION"],
    )
    client = session.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)

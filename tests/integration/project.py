"""The tests' project with real workers, a database, a Redis and a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.celery_workers import CeleryWorker, celery_worker
from tests.faults.zygote import Zygote, zygote

ROWS = 3_000
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Project:
    """The tests' project on a database, a Redis and a media folder of its own."""

    environment: Mapping[str, str]
    folder: Path
    redis_url: str
    forks: Zygote

    @contextmanager
    def worker(self, concurrency: int = 2, *, checks: bool = False, pool: str = "prefork") -> Iterator[CeleryWorker]:
        """A worker of the project; see `celery_worker`."""
        with celery_worker(
            self.folder,
            self.redis_url,
            concurrency=concurrency,
            environment=self.environment,
            app="tests.django_integration.celery_app",
            checks=checks,
            pool=pool,
        ) as worker:
            yield worker

    def end_sessions(self) -> int:
        """End all sessions of the database (PostgreSQL), as a restart of the server does; how many there were."""
        url = self.environment["DATABASE_URL"]
        server, _, name = url.rpartition("/")
        ending = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            row = connection.execute(ending, [name]).fetchone()
        assert row is not None
        return int(row[0])

    def get(self, path: str) -> Any:
        """What staff is answered there."""
        return self.forks.call("get", path)

    def run(
        self,
        handler: str,
        *,
        cancel_at: int | None = None,
        pause_at: int | None = None,
        rows: int = ROWS,
        **options: Any,
    ) -> Any:
        """Import a table of that many rows."""
        source = self.folder / "media" / f"in-{rows}.csv"
        source.parent.mkdir(exist_ok=True)
        source.write_text("n\n" + "".join(f"{n}\n" for n in range(1, rows + 1)))
        return self.forks.call(
            "import_file",
            path=source.name,
            handler=handler,
            options={"chunk_size": CHUNK, "batch_size": 50, **options},
            timeout_seconds=100,
            cancel_at=cancel_at,
            pause_at=pause_at,
        )


@contextmanager
def make_project(
    folder: Path, database_url: str, redis_url: str, changes: Mapping[str, str] | None = None
) -> Iterator[Project]:
    """A project with its tables, in that database.

    Args:
        changes: further variables of its processes.
    """
    environment = {
        "DATABASE_URL": database_url,
        "TEST_MEDIA_ROOT": str(folder / "media"),
        "DJANGO_SETTINGS_MODULE": "tests.django_integration.settings",
        "TEST_RECOVERY_SECONDS": "1",
        **(changes or {}),
    }
    with zygote(folder, {**environment, "REDIS_URL": redis_url}) as forks:
        forks.call("migrate")
        yield Project(environment, folder, redis_url, forks)


def make_database(server_url: str, name: str) -> str:
    """The URL of a new PostgreSQL database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server_url.rpartition('/')[0]}/{name}"

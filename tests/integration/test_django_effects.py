"""What handlers write on PostgreSQL and what the job counts are one: workers die, the rows are there exactly once."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.celery_workers import CeleryWorker, celery_worker

ROWS = 3_000
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Project:
    """The tests' project on a database, a Redis and a media folder of its own."""

    environment: Mapping[str, str]
    folder: Path
    redis_url: str

    @contextmanager
    def worker(self, concurrency: int = 2) -> Iterator[CeleryWorker]:
        """A worker of the project."""
        with celery_worker(
            self.folder,
            self.redis_url,
            concurrency=concurrency,
            environment=self.environment,
            app="tests.django_integration.celery_app",
        ) as worker:
            yield worker

    def drive(self, **request: Any) -> Any:
        """Have `tests.django_integration.drive` do something."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.django_integration.drive"],
            input=json.dumps(request).encode(),
            env={**os.environ, **self.environment, "REDIS_URL": self.redis_url},
            capture_output=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return json.loads(done.stdout)

    def run(self, handler: str, *, cancel_at: int | None = None, rows: int = ROWS, **options: Any) -> Any:
        """Import a table of that many rows."""
        source = self.folder / "media" / f"in-{rows}.csv"
        source.parent.mkdir(exist_ok=True)
        source.write_text("n\n" + "".join(f"{n}\n" for n in range(1, rows + 1)))
        return self.drive(
            do="import",
            **{
                "import": {
                    "path": source.name,
                    "handler": handler,
                    "options": {"chunk_size": CHUNK, "batch_size": 50, **options},
                    "timeout_seconds": 100,
                    "cancel_at": cancel_at,
                }
            },
        )


@pytest.fixture(params=["postgresql", "sqlite"])
def project(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, redis_databases: Callable[[], str]
) -> Project:
    name = f"effects_{tmp_path.name.lower()}".replace("-", "_").replace("[", "_").replace("]", "_")[:60]
    if request.param == "postgresql":
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        url = f"{postgres_url.rpartition('/')[0]}/{name}"
    else:
        url = f"sqlite:///{tmp_path}/db.sqlite3"
    environment = {
        "DATABASE_URL": url,
        "TEST_MEDIA_ROOT": str(tmp_path / "media"),
        "DJANGO_SETTINGS_MODULE": "tests.django_integration.settings",
        "TEST_RECOVERY_SECONDS": "1",
    }
    made = Project(environment, tmp_path, redis_databases())
    made.drive(do="migrate")
    return made


def check(answer: Any, *, refused: set[int] = frozenset(), rows: int = ROWS) -> None:  # type: ignore[assignment]
    """Every row in one file, in order; one record in the database per accepted row, and no other."""
    assert (answer["status"], answer["error"]) == ("succeeded", "")
    accepted = [n for n in range(1, rows + 1) if n not in refused]
    assert (answer["success_count"], answer["failure_count"]) == (len(accepted), len(refused))
    assert answer["written_rows"] == accepted
    success, failed = (list(csv.reader(io.StringIO(text, newline=""))) for text in answer["files"])
    assert [row[0] for row in success[1:]] == [str(n) for n in accepted]
    assert [row[0] for row in failed[1:]] == [str(n) for n in sorted(refused)]
    assert all(live <= rows and written <= rows for live, written in answer["seen"])


def test_refused_and_crashing_rows_leave_nothing(project: Project) -> None:
    with project.worker():
        answer = project.run("write", refused=[3, 500, 501], raising=[7, 3000])
    check(answer, refused={3, 7, 500, 501, 3000})


def test_a_worker_child_killed_in_mid_chunk_leaves_each_row_once(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with project.worker():
        answer = project.run("write_or_die", dies_on=[10, 777, 1500, 2999], marks=str(marks))
    assert len(list(marks.iterdir())) == 4
    assert sum(answer["attempts"]) >= ROWS // CHUNK + 4
    check(answer)


def test_a_row_that_always_kills_its_process_is_the_only_one_to_fail(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with project.worker():
        answer = project.run("write_or_die", dies_on=[1234], marks=str(marks), always=True)
    check(answer, refused={1234})


def test_a_cancel_in_mid_run_keeps_exactly_what_was_done(project: Project) -> None:
    with project.worker():
        answer = project.run("write_slowly", cancel_at=300, seconds_per_row=0.002)
    assert answer["status"] == "cancelled"
    done = answer["success_count"]
    assert 300 <= done < ROWS
    assert len(answer["written_rows"]) == done
    (success, _failed) = (list(csv.reader(io.StringIO(text, newline=""))) for text in answer["files"])
    assert [int(row[0]) for row in success[1:]] == answer["written_rows"]


def test_a_handler_that_swallows_a_database_error_costs_its_rows_only(project: Project) -> None:
    with project.worker():
        answer = project.run("swallow", rows=20)
    assert answer["status"] == "succeeded"
    assert answer["success_count"] + answer["failure_count"] == 20
    assert answer["written_rows"] == []
    assert answer["failure_count"] >= 10


def test_a_handler_that_is_not_atomic_runs_without_a_transaction(project: Project) -> None:
    with project.worker():
        answer = project.run("write_outside", refused=[5], rows=1_000)
    assert answer["status"] == "succeeded"
    # The record of the refused row stays: nothing undoes it.
    assert answer["written_rows"] == list(range(1, 1_001))
    assert answer["failure_count"] == 1

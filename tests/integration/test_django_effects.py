"""What handlers write on PostgreSQL and what the job counts are one: workers die, the rows are there exactly once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project import CHUNK, ROWS, Project, make_database, make_project
from tests.mariadb_server import MARIADB, make_mariadb_database


@pytest.fixture(scope="module", params=["postgresql", "sqlite", *MARIADB])
def project(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_databases: Callable[[], str],
) -> Iterator[Project]:
    """A project and a worker of it with two children, in whose place others come when they are killed."""
    folder = tmp_path_factory.mktemp("effects")
    name = f"effects_{folder.parent.name}".replace("-", "_")
    database = f"sqlite:///{folder}/db.sqlite3"
    if request.param == "postgresql":
        database = make_database(postgres_url, name)
    elif request.param == "mysql":
        database = make_mariadb_database(request.getfixturevalue("mariadb_url"))
    # A fork does not bear a parent that has a file of SQLite open, either.
    forks = {"TEST_FORKS": "1"} if request.param == "postgresql" else {}
    with make_project(folder, database, redis_databases(), forks) as made, made.worker():
        yield made


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
    answer = project.run("write", refused=[3, 500, 501], raising=[7, 3000])
    check(answer, refused={3, 7, 500, 501, 3000})


def test_a_worker_child_killed_in_mid_chunk_leaves_each_row_once(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    answer = project.run("write_or_die", dies_on=[10, 777, 1500, 2999], marks=str(marks))
    assert len(list(marks.iterdir())) == 4
    assert sum(answer["attempts"]) >= ROWS // CHUNK + 4
    check(answer)


def test_a_row_that_always_kills_its_process_is_the_only_one_to_fail(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    answer = project.run("write_or_die", dies_on=[1234], marks=str(marks), always=True)
    check(answer, refused={1234})


def test_a_cancel_in_mid_run_keeps_exactly_what_was_done(project: Project, tmp_path: Path) -> None:
    answer = project.run("write_slowly", cancel_at=300, gate=str(tmp_path / "gate"), gate_row=1_001)
    assert answer["status"] == "cancelled"
    done = answer["success_count"]
    assert 300 <= done < ROWS
    assert len(answer["written_rows"]) == done
    (success, _failed) = (list(csv.reader(io.StringIO(text, newline=""))) for text in answer["files"])
    assert [int(row[0]) for row in success[1:]] == answer["written_rows"]


def test_a_handler_that_swallows_a_database_error_costs_its_rows_only(project: Project) -> None:
    answer = project.run("swallow", rows=20)
    assert answer["status"] == "succeeded"
    assert answer["success_count"] + answer["failure_count"] == 20
    assert answer["written_rows"] == []
    assert answer["failure_count"] >= 10


def test_a_transaction_that_ends_under_its_rows_costs_none_of_them(project: Project, tmp_path: Path) -> None:
    answer = project.run("lose_transaction", loses_on=[700], marks=str(tmp_path))
    assert (tmp_path / "700").exists()
    check(answer)


def test_a_handler_may_change_the_record_of_its_job(project: Project) -> None:
    check(project.run("keep_a_note", rows=1_000), rows=1_000)


def test_chunks_that_wait_for_one_another_for_ever_cost_no_row(project: Project) -> None:
    check(project.run("meet", rows=1_000, chunk_size=100), rows=1_000)


def test_a_handler_that_always_ends_its_transaction_fails_the_job_and_says_why(
    project: Project, tmp_path: Path
) -> None:
    answer = project.run("lose_transaction", loses_on=[3], marks=str(tmp_path), always=True, rows=10)
    assert (answer["status"], answer["success_count"], answer["failure_count"]) == ("failed", 0, 0)
    assert "a handler that commits or rolls back by itself" in answer["error"]
    assert answer["written_rows"] == []


def test_a_handler_that_is_not_atomic_runs_without_a_transaction(project: Project) -> None:
    answer = project.run("write_outside", refused=[5], rows=1_000)
    assert answer["status"] == "succeeded"
    # The record of the refused row stays: nothing undoes it.
    assert answer["written_rows"] == list(range(1, 1_001))
    assert answer["failure_count"] == 1

"""What needs workers that live: a pause, a probe, and what they tell those who watch them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.project import CHUNK, ROWS, Project, make_database, make_project
from tests.integration.test_django_effects import check

METRICS, HEALTH = "/api/imports/metrics/", "/api/imports/health/"
#: Seconds that a worker gets to answer, by the README.
HEALTH_SECONDS = 5.0


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, redis_databases: Callable[[], str]
) -> Iterator[Project]:
    folder: Path = tmp_path_factory.mktemp("live")
    database = make_database(postgres_url, f"live_{folder.parent.name}".replace("-", "_"))
    with make_project(folder, database, redis_databases()) as project:
        yield project


def samples(project: Project) -> dict[tuple[str, ...], float]:
    """Name and values of labels, in the order of their names → value, as Prometheus reads them."""
    answer = project.get(METRICS)
    assert answer["status"] == 200
    families = text_string_to_metric_families(answer["text"])
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_health_is_well_while_a_worker_lives_and_fails_in_time_when_it_has_ended(live: Project) -> None:
    with live.worker(1, checks=True):
        # A worker that has just started on a busy machine may be late with its first answer.
        well = next((answer for _ in range(4) if (answer := live.get(HEALTH))["status"] == 200), live.get(HEALTH))
        assert (well["status"], json.loads(well["text"])["status"]) == (200, "ok")
    gone = live.get(HEALTH)
    assert (gone["status"], json.loads(gone["text"])["status"]) == (503, "failed")
    assert "No worker answered within 5 seconds" in gone["text"]
    assert HEALTH_SECONDS <= gone["seconds"] < HEALTH_SECONDS + 20


def test_a_paused_job_stands_still_and_ends_with_exact_counts_and_files(live: Project, tmp_path: Path) -> None:
    before = samples(live)
    with live.worker(2):
        refused = {1, 777, ROWS}
        held_rows = {"gate": str(tmp_path / "gate"), "gate_row": 2 * CHUNK + 1}
        answer = live.run("write_slowly", refused=sorted(refused), seconds_per_row=0.002, pause_at=CHUNK, **held_rows)
        told = samples(live)
    held = answer["held"]
    assert held["codes"] == [200, 200]
    assert held["before"] == held["after"], "nothing further is processed, sent or tried"
    rows, written, states = held["before"]
    assert CHUNK <= rows < ROWS
    done = sum(status == "done" for _, status, _ in states)
    assert rows == done * CHUNK
    assert written == rows - len([row for row in refused if states[(row - 1) // CHUNK][1] == "done"])
    check(answer, refused=refused)
    assert answer["attempts"] == [1] * (ROWS // CHUNK)

    # What the workers have told meanwhile.
    def more(*key: str) -> float:
        return told.get(key, 0.0) - before.get(key, 0.0)

    chunk, name = ("done", "chunk"), "rowmill_step_duration_seconds"
    assert told["rowmill_redis_up",] == 1
    assert more(f"{name}_count", *chunk) == ROWS // CHUNK
    assert more(f"{name}_count", "done", "plan") == more(f"{name}_count", "done", "merge") == 1
    # 500 rows of 2 ms take a second at least.
    assert more(f"{name}_sum", *chunk) >= ROWS * 0.002
    bounds = {key[1]: told[key] for key in told if key[0] == f"{name}_bucket" and key[2:] == chunk}
    in_order = sorted(bounds, key=float)
    assert [bounds[bound] for bound in in_order] == sorted(bounds.values())
    assert (bounds["0.5"], in_order[-1], bounds["+Inf"]) == (0, "+Inf", told[f"{name}_count", *chunk])
    assert more("rowmill_rows_total", "success") == ROWS - len(refused)
    assert more("rowmill_rows_total", "failure") == len(refused)
    assert told["rowmill_queue_age_seconds",] == 0


def test_workers_of_threads_go_on_when_the_database_has_ended_all_sessions(live: Project) -> None:
    with live.worker(3, pool="threads") as worker:
        check(live.run("write", refused=[3]), refused={3})
        assert live.end_sessions(), "those beside Django's own stay open"
        answer = live.run("write", refused=[7])
        check(answer, refused={7})
        assert "raised unexpected" not in worker.log.read_text()

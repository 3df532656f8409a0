"""A process fails at every step of the commit protocol in every way; another takes over, and no row is lost or doubled.

Real processes, real signals, PostgreSQL and Redis. What is true is read from a table that the
handler fills, keyed by row index, and from the result files, with Python's own csv module.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine import failpoints
from tests.faults.zygote import Child, Zygote, zygote

ROWS, CHUNK, BATCH = 60, 20, 5
REFUSED = [3, 20, 21, 60]
ACCEPTED = [row for row in range(1, ROWS + 1) if row not in REFUSED]
POINTS = list(failpoints.POINTS)
#: Hits of these come in plenty: one in the middle of the job is chosen.
NTH = {"chunk.batch": 6, "part.before_write": 2, "part.written": 4} | dict.fromkeys(
    (point for point in POINTS if point.startswith("chunk.") and point != "chunk.batch"), 2
)
#: An unforeseen error ends the job, not its process; where Celery is to log it as well, it goes on to the caller.
FATES = {"raise": ("exit 0", "exit 1"), "exit": ("exit 3",), "kill": ("signal 9",), "hang": ("stopped",)}


@pytest.fixture(scope="module")
def forks(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, redis_databases: Callable[[], str]
) -> Iterator[Zygote]:
    """Processes on a PostgreSQL database of their own, with leases that end within a second."""
    folder = tmp_path_factory.mktemp("failpoints")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE failpoints")
    media = folder / "media"
    media.mkdir()
    (media / "in.csv").write_text("n\n" + "".join(f"{row}\n" for row in range(1, ROWS + 1)))
    environment = {
        "DATABASE_URL": f"{postgres_url.rpartition('/')[0]}/failpoints",
        "REDIS_URL": redis_databases(),
        "TEST_MEDIA_ROOT": str(media),
        "TEST_LEASE_SECONDS": "1",
        "DJANGO_SETTINGS_MODULE": "tests.django_integration.settings",
    }
    with zygote(folder, environment) as started:
        started.call("migrate")
        yield started


@pytest.fixture(scope="module")
def ends(forks: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, dict[str, Any]]]:
    """`ends(action)[point]`: how a job ended whose first process failed there. All points run side by side."""
    known: dict[str, dict[str, dict[str, Any]]] = {}

    def run(action: str) -> dict[str, dict[str, Any]]:
        if action not in known:
            known[action] = _fail_and_take_over(forks, tmp_path_factory, action)
        return known[action]

    return run


def _fail_and_take_over(
    forks: Zygote, tmp_path_factory: pytest.TempPathFactory, action: str
) -> dict[str, dict[str, Any]]:
    options = {"chunk_size": CHUNK, "batch_size": BATCH, "refused": REFUSED}
    jobs = dict(zip(POINTS, forks.call("start", "in.csv", "write", options, jobs=len(POINTS)), strict=True))
    first, second = {}, {}
    for point in POINTS:
        environ = {
            "ROWMILL_FAILPOINTS": f"{point}:{action}:{NTH.get(point, 1)}",
            "ROWMILL_FAILPOINTS_DIR": str(tmp_path_factory.mktemp("hits")),
        }
        first[point] = forks.begin("work", jobs[point], environ=environ)
    fates = {point: child.wait() for point, child in first.items()}
    for point in POINTS:
        # An error that nobody foresaw fails the job, which keeps what was done and can be resumed.
        second[point] = forks.begin("work", jobs[point], resume=action == "raise")
    for point, child in second.items():
        assert child.wait() == "exit 0", (point, child.error())
    zombies: list[Child] = list(first.values()) if action == "hang" else []
    for child in zombies:
        child.resume()
    for child in zombies:
        child.wait()  # it has lost its lease, or its connection: however it ends, nothing must change
    ends = zip(POINTS, forks.call("tell", list(jobs.values())), strict=True)
    return {point: {"fate": fates[point], **end} for point, end in ends}


@pytest.mark.parametrize("action", failpoints.ACTIONS)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_fails_anywhere_costs_no_row(
    ends: Callable[[str], dict[str, dict[str, Any]]], point: str, action: str
) -> None:
    end = ends(action)[point]
    assert end["fate"] in FATES[action]
    assert end["status"] == "succeeded"
    assert end["written_rows"] == ACCEPTED
    assert end["counts"] == end["recount"] == [len(ACCEPTED), len(REFUSED)]
    assert (end["live_rows"] or 0) <= ROWS
    success, failed = (list(csv.reader(io.StringIO(text, newline="")))[1:] for text in end["files"])
    assert [int(row[0]) for row in success] == ACCEPTED
    assert [int(row[0]) for row in failed] == REFUSED


def test_what_arms_nothing_is_refused(tmp_path: Path) -> None:
    armed = {"ROWMILL_FAILPOINTS_DIR": str(tmp_path)}
    try:
        for text in ("chunk.nowhere:kill:1", "chunk.begun:explode:1", "chunk.begun:kill:soon", "chunk.begun"):
            with pytest.raises(ValueError, match="not point:action:n"):
                failpoints.arm({**armed, "ROWMILL_FAILPOINTS": text})
        with pytest.raises(ValueError, match="ROWMILL_FAILPOINTS_DIR"):
            failpoints.arm({"ROWMILL_FAILPOINTS": "chunk.begun:kill:1"})
    finally:
        failpoints.arm({})


def test_only_the_nth_hit_of_all_processes_fails(tmp_path: Path) -> None:
    try:
        for _ in range(2):  # two processes, as far as the counting goes
            failpoints.arm({"ROWMILL_FAILPOINTS": "chunk.begun:raise:3", "ROWMILL_FAILPOINTS_DIR": str(tmp_path)})
            failpoints.hit("chunk.claimed")
            failpoints.hit("chunk.begun")
        with pytest.raises(failpoints.FailpointError, match=r"chunk\.begun"):
            failpoints.hit("chunk.begun")
        failpoints.hit("chunk.begun")
    finally:
        failpoints.arm({})
    failpoints.hit("chunk.begun")

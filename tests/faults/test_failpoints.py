"""A process fails at every step of the commit protocol in every way; another takes over, and no row is lost or doubled.

Real processes, real signals, PostgreSQL and Redis; the ledger on SQLite as well, parts and files on S3, Excel files.
What is true is read from a table that the handler fills, keyed by row index, and from the result files, with Python's
own csv module and with openpyxl.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest

from engine import failpoints
from tests import services
from tests.faults.scenes import ACCEPTED, CHUNK, GROUP_BYTES, PIECE_BYTES, REFUSED, ROWS, SCENES, SOURCE, Scene
from tests.faults.zygote import Child, Zygote, zygote
from tests.mariadb_server import make_mariadb_database, start_mariadb

#: An unforeseen error ends the job, not its process; where Celery is to log it as well, it goes on to the caller.
FATES = {"raise": ("exit 0", "exit 1"), "exit": ("exit 3",), "kill": ("signal 9",), "hang": ("stopped",)}

Ends = dict[tuple[str, int], dict[str, Any]]


class Forks:
    """Zygotes by scene, each started when it is first needed."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        postgres_url: str,
        redis_url: Callable[[], str],
        s3_client: Callable[[str], Any],
    ) -> None:
        self._stack = stack
        self._folder = folder
        self._postgres_url = postgres_url
        self._redis_url = redis_url
        self._s3_client = s3_client
        self._known: dict[str, Zygote] = {}

    def of(self, name: str) -> Zygote:
        """Processes on a database and a storage of their own, with leases that end within a second."""
        if name not in self._known:
            folder = self._folder / name
            folder.mkdir()
            scene = SCENES[name]
            environment = {
                "DATABASE_URL": self._database(scene, folder, name),
                "REDIS_URL": self._redis_url(),
                "TEST_LEASE_SECONDS": "1",
                "DJANGO_SETTINGS_MODULE": "tests.django_integration.settings",
                **self._storage(scene, folder),
                **({"TEST_FIRST_CHUNK": str(CHUNK)} if scene.is_first_import else {}),
            }
            started = self._known[name] = self._stack.enter_context(zygote(folder, environment))
            started.call("migrate")
        return self._known[name]

    def _database(self, scene: Scene, folder: Path, name: str) -> str:
        if scene.database == "sqlite":
            return f"sqlite://{folder}/project.sqlite3"
        if scene.database == "mysql":
            return make_mariadb_database(self._stack.enter_context(start_mariadb()))
        with psycopg.connect(self._postgres_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "failpoints_{name}"')
        return f"{self._postgres_url.rpartition('/')[0]}/failpoints_{name}"

    def _storage(self, scene: Scene, folder: Path) -> dict[str, str]:
        if scene.storage == "folder":
            media = folder / "media"
            media.mkdir()
            (media / "in.csv").write_text(SOURCE)
            return {"TEST_MEDIA_ROOT": str(media)}
        endpoint = self._stack.enter_context(services.start_moto(least_piece_bytes=PIECE_BYTES))
        client = self._s3_client(endpoint)
        client.create_bucket(Bucket="failpoints")
        client.put_object(Bucket="failpoints", Key="in.csv", Body=SOURCE.encode())
        return {
            "TEST_STORAGE_URL": "s3://failpoints",
            "TEST_S3_ENDPOINT_URL": endpoint,
            **({"TEST_PIECE_BYTES": str(PIECE_BYTES)} if scene.pieces_are_small else {}),
            "TEST_GROUP_BYTES": str(GROUP_BYTES),
            **services.s3_environment(),
        }


@pytest.fixture(scope="module")
def forks(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_databases: Callable[[], str],
    s3_client: Callable[[str], Any],
) -> Iterator[Forks]:
    with ExitStack() as stack:
        yield Forks(stack, tmp_path_factory.mktemp("failpoints"), postgres_url, redis_databases, s3_client)


@pytest.fixture(scope="module")
def ends(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Ends]:
    """`ends(scene, action)[point, nth]`: how a job ended whose first process failed there. All run side by side."""
    known: dict[tuple[str, str], Ends] = {}

    def run(scene: str, action: str) -> Ends:
        if (scene, action) not in known:
            known[scene, action] = _fail_and_take_over(forks.of(scene), SCENES[scene], tmp_path_factory, action)
        return known[scene, action]

    return run


def _fail_and_take_over(forks: Zygote, scene: Scene, tmp_path_factory: pytest.TempPathFactory, action: str) -> Ends:
    started = forks.call("start", "in.csv", "write", scene.options, jobs=len(scene.points))
    jobs = dict(zip(scene.points, started, strict=True))
    first, second = {}, {}
    for point, nth in scene.points:
        environ = {
            "ROWMILL_FAILPOINTS": f"{point}:{action}:{nth}",
            "ROWMILL_FAILPOINTS_DIR": str(tmp_path_factory.mktemp("hits")),
        }
        first[point, nth] = forks.begin("work", jobs[point, nth], environ=environ)
    fates = {at: child.wait() for at, child in first.items()}
    for at, job_id in jobs.items():
        # An error that nobody foresaw fails the job, which keeps what was done and can be resumed.
        second[at] = forks.begin("work", job_id, resume=action == "raise")
    for at, child in second.items():
        assert child.wait() == "exit 0", (at, child.error())
    zombies: list[Child] = list(first.values()) if action == "hang" else []
    for child in zombies:
        child.resume()
    for child in zombies:
        child.wait()  # it has lost its lease, or its connection: however it ends, nothing must change
    forks.call("tell_late")
    told = zip(jobs, forks.call("tell", started), strict=True)
    return {at: {"fate": fates[at], **end} for at, end in told}


CASES = [
    pytest.param(scene, action, point, nth, id=f"{scene}-{action}-{point}-{nth}")
    for scene, described in SCENES.items()
    for action in described.actions
    for point, nth in described.points
]


@pytest.mark.parametrize(("scene", "action", "point", "nth"), CASES)
def test_a_process_that_fails_anywhere_costs_no_row(
    ends: Callable[[str, str], Ends], scene: str, action: str, point: str, nth: int
) -> None:
    end = ends(scene, action)[point, nth]
    assert end["fate"] in FATES[action]
    assert end["status"] == "succeeded"
    assert end["written_rows"] == ACCEPTED
    assert end["counts"] == end["recount"] == [len(ACCEPTED), len(REFUSED)]
    assert (end["live_rows"] or 0) <= ROWS
    assert end["ends_told"] == 1, "by the signal of its end"
    success, failed = (read(text, SCENES[scene].output_format) for text in end["files"])
    assert [int(row[0]) for row in success] == ACCEPTED
    assert [int(row[0]) for row in failed] == REFUSED
    # Whoever put the files together, and however often it was begun: byte for byte the same.
    assert end["files"] == next(iter(ends(scene, "kill").values()))["files"]


def read(text: str, output_format: str) -> list[list[str]]:
    """The rows of a result file behind its header, by a reader that is not ours."""
    if output_format == "csv":
        return list(csv.reader(io.StringIO(text, newline="")))[1:]
    sheet = openpyxl.load_workbook(io.BytesIO(text.encode("latin-1")), read_only=True).worksheets[0]
    return [[str(cell) for cell in row] for row in sheet.iter_rows(min_row=2, values_only=True)]


def test_every_step_fails_in_some_scene() -> None:
    assert {point for scene in SCENES.values() for point, _ in scene.points} == set(failpoints.POINTS)


def test_uploads_of_killed_processes_are_swept_and_nothing_else(forks: Forks, ends: Callable[[str, str], Ends]) -> None:
    ended = ends("s3", "kill")
    place = forks.of("s3")
    left = place.call("unfinished", remove=True)
    inside = [point for point, _ in ended if point in ("multipart.begun", "multipart.piece", "multipart.completing")]
    # What a survivor began it has completed. The second piece of a process that hangs comes too late for its upload.
    assert len(left) >= len(inside)
    assert any("/parts/" in f"/{key}" for key in left)
    assert any(key.endswith("in.success.csv") for key in left)
    assert place.call("unfinished", remove=False) == []


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

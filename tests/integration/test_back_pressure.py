"""Redis and S3 that are far away or narrow: a job takes longer, and nothing piles up, in the queue or in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from tests.celery_workers import CeleryWorker
from tests.integration.project import Project, make_database, make_project
from tests.integration.test_django_effects import check
from tests.shaky_wire import Wire, shaky_wire

ROWS = 1_500
CHUNK = 250
#: Chunks in flight, half of all.
WINDOW = 3
#: Bytes of a row: the source is 1.5 MB, and so is what goes back.
WIDTH = 1_000
NARROW = {"bytes_per_second": 1_000_000.0}


@dataclass
class Seen:
    """The most that there ever was at one moment."""

    in_flight: int = 0
    messages: int = 0
    resident: dict[int, int] = field(default_factory=dict)

    @property
    def peak_mib(self) -> float:
        """Of the largest process."""
        return max(self.resident.values()) / 1024**2


@dataclass(frozen=True)
class Far:
    """A project whose services can be moved away while its workers run."""

    project: Project
    worker: CeleryWorker
    redis: Wire
    storage: Wire
    database_url: str
    broker: Any

    @contextmanager
    def watching(self) -> Iterator[Seen]:
        """Look all the time at what waits and what it takes."""
        seen, looks, ended = Seen(), threading.Event(), threading.Event()

        def watch() -> None:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                children, looked_at = self.worker.children, time.monotonic()
                query = "SELECT count(*) FROM rowmill_imports_importchunk WHERE status IN ('sent', 'leased')"
                while not ended.wait(0.05):
                    looks.set()
                    (count,) = connection.execute(query).fetchone() or (0,)
                    seen.in_flight = max(seen.in_flight, count)
                    waiting = self.broker.llen("celery") + self.broker.hlen("unacked")
                    seen.messages = max(seen.messages, waiting)
                    if time.monotonic() > looked_at + 1.0:  # dearer than all the rest
                        children, looked_at = self.worker.children, time.monotonic()
                    for pid in children:
                        with suppress(psutil.NoSuchProcess):
                            size = psutil.Process(pid).memory_info().rss
                            seen.resident[pid] = max(seen.resident.get(pid, 0), size)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            assert looks.wait(60)
            yield seen
        finally:
            ended.set()
            thread.join()

    def run(self, **wires: Mapping[str, float]) -> Seen:
        """Import with the wires changed so, check every row, and put them right again."""
        for name, changes in wires.items():
            for field_name, value in changes.items():
                setattr(getattr(self, name), field_name, value)
        refused = {1, 777, ROWS}
        try:
            with self.watching() as seen:
                answer = self.project.run("write", rows=ROWS, chunk_size=CHUNK, refused=sorted(refused))
        finally:
            for wire in (self.redis, self.storage):
                wire.delay_seconds, wire.bytes_per_second = 0.0, None
        check(answer, refused=refused, rows=ROWS)
        assert answer["attempts"] == [1] * (ROWS // CHUNK)
        return seen


@pytest.fixture(scope="module")
def far(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_databases: Callable[[], str],
    moto_endpoint: str,
    s3_client: Callable[[str], Any],
) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    name = f"far_{folder.parent.name}".replace("-", "_")
    database_url, redis_url = make_database(postgres_url, name), redis_databases()
    client, bucket = s3_client(moto_endpoint), name.replace("_", "-")
    client.create_bucket(Bucket=bucket)
    body = "n,filler\n" + "".join(f"{n},{'x' * (WIDTH - 10)}\n" for n in range(1, ROWS + 1))
    client.put_object(Bucket=bucket, Key=f"in-{ROWS}.csv", Body=body.encode())
    with ExitStack() as stack:

        def wired(url: str) -> tuple[Wire, str]:
            parts = urlsplit(url)
            wire, port = stack.enter_context(shaky_wire(parts.hostname or "", parts.port or 0))
            return wire, parts._replace(netloc=f"127.0.0.1:{port}").geturl()

        redis_wire, redis_by_wire = wired(redis_url)
        storage_wire, storage_by_wire = wired(moto_endpoint)
        environment = {
            "TEST_STORAGE_URL": f"s3://{bucket}",
            "TEST_S3_ENDPOINT_URL": storage_by_wire,
            "TEST_WINDOW": str(WINDOW),
            "TEST_FORKS": "1",
        }
        project = stack.enter_context(make_project(folder, database_url, redis_by_wire, environment))
        worker = stack.enter_context(project.worker(2))
        broker = stack.enter_context(redis.Redis.from_url(redis_url, decode_responses=True))
        yield Far(project, worker, redis_wire, storage_wire, database_url, broker)


@pytest.fixture(scope="module")
def near(far: Far) -> Seen:
    """What there is with everything near and wide."""
    seen = far.run()
    check_bounds(seen)
    return seen


def check_bounds(seen: Seen) -> None:
    assert 0 < seen.in_flight <= WINDOW
    # A message for each of these, one of a plan or a merge, and copies that recovery has sent of what waits.
    assert seen.messages <= 3 * WINDOW


@pytest.mark.parametrize(
    "wires",
    [
        pytest.param({"redis": {"delay_seconds": 0.15}}, id="redis 300 ms away"),
        pytest.param({"storage": {"delay_seconds": 0.15}}, id="s3 300 ms away"),
        pytest.param({"storage": NARROW}, id="s3 at 1 MB/s"),
        pytest.param(
            {"redis": {"delay_seconds": 0.015}, "storage": {"delay_seconds": 0.015, **NARROW}}, id="both 30 ms away"
        ),
    ],
)
def test_nothing_piles_up_behind_what_is_far_or_narrow(
    far: Far, near: Seen, wires: dict[str, dict[str, float]]
) -> None:
    seen = far.run(**wires)
    check_bounds(seen)
    # The same processes have run with everything near: what piles up would be seen in them.
    assert seen.peak_mib <= near.peak_mib * 1.2 + 10

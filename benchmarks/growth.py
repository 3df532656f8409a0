"""Cost against rows, workers and latency: measured, and a line fitted to it.

The model: seconds = fixed + serial × rows + parallel × rows / workers. Memory should not grow with rows at all,
messages and Redis keys with the number of chunks only.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import redis

from benchmarks import generate
from benchmarks.measure import Measurement, base_environment, run
from benchmarks.services import BUCKET, ROOT, Services
from engine.ledger import open_ledger
from tests.services import free_port

_WORKERS = (1, 2)
#: Workers that wait for S3 leave processors idle: there are more of them than processors, then.
_WORKERS_BEYOND = (*_WORKERS, 4)
#: What the forecast is for.
_FORECAST_ROWS, _FORECAST_PROCESSES = 1_000_000_000, 100
_START_SECONDS = 10.0


def measure_growth(rows: Sequence[int], folder: Path, services: Services, *, latency_ms: float) -> dict[str, Any]:
    """Measure row mode on three ways: local files, S3 that answers late, Celery.

    Args:
        rows: sizes of the tables; three or more, so that a line can be told from a curve.
        folder: for ledgers and results.
    """
    measured: list[dict[str, Any]] = []
    with _late(services, latency_ms) as late:
        for count in rows:
            table = generate.people_csv(count)
            for workers in _WORKERS_BEYOND:
                for way in ("local", f"S3, {latency_ms:g} ms", "Celery"):
                    if workers not in _WORKERS and not way.startswith("S3"):
                        continue
                    environment = base_environment(ROOT)
                    arguments: list[str] = []
                    source, output = str(table), str(folder / "growth")
                    watched: list[int] = []
                    if way == "Celery":
                        name = f"worker-{workers}"
                        environment |= services.use("redis", name)
                        arguments, watched = ["--executor", "celery"], services.workers(name)
                    else:
                        arguments = ["--workers", str(workers)]
                    if way.startswith("S3"):
                        environment |= late
                        source, output = _uploaded(table, services), f"s3://{BUCKET}/growth"
                    print(f"growth: {way}, {count:,} rows, {workers} workers", file=sys.stderr, flush=True)
                    measured.append(
                        {
                            "way": way,
                            "rows": count,
                            "workers": workers,
                            **_measured(source, output, arguments, environment, folder, watched),
                        }
                    )
    ways = list(dict.fromkeys(each["way"] for each in measured))
    models = {way: _fit([each for each in measured if each["way"] == way]) for way in ways}
    return {"measured": measured, "models": models, "forecast": {way: _forecast(models[way]) for way in ways}}


def _measured(
    source: str, output: str, arguments: list[str], environment: dict[str, str], folder: Path, watched: list[int]
) -> dict[str, Any]:
    shutil.rmtree(folder / "growth", ignore_errors=True)
    # Each run has one of its own: workers keep those they know open.
    ledger = folder / f"growth-{time.monotonic_ns()}.sqlite3"
    command = [sys.executable, "-m", "engine.cli", "run", source, "--handler", "benchmarks.people.check_email"]
    command += ["--output-dir", output, "--ledger", str(ledger), "--json", *arguments]
    before = _redis_counts(environment) if watched else {}
    found: Measurement = run(command, environment, ROOT, workers=watched)
    after = _redis_counts(environment) if watched else {}
    books = open_ledger(f"sqlite:///{ledger}")
    try:
        # Those that were taken in by others have no rows.
        chunks = sum(state.chunk.row_count > 0 for state in books.chunk_states(str(found.told["id"])))
    finally:
        books.close()
    return {
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
        "peak_mib": found.peak_mib[0],
        "chunks": chunks,
        **{name: after[name] - before[name] for name in after},
    }


def _redis_counts(environment: dict[str, str]) -> dict[str, int]:
    """Messages that were ever sent through this Redis, and keys that are there."""
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        statistics: Any = client.info("commandstats")
        return {
            "messages": int(statistics.get("cmdstat_lpush", {}).get("calls", 0)),
            "redis_keys": int(client.dbsize()),
        }


def _fit(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Least squares, each run weighted by its own length, as the spread of seconds grows with them."""
    rows = np.array([each["rows"] for each in measured], dtype=float)
    workers = np.array([each["workers"] for each in measured], dtype=float)
    seconds = np.array([each["seconds"] for each in measured])
    causes = np.stack([np.ones_like(rows), rows, rows / workers], axis=1)
    weights = 1 / seconds
    factors = np.zeros(3)
    chosen = [0, 1, 2]
    while chosen:
        found, *_ = np.linalg.lstsq(causes[:, chosen] * weights[:, None], seconds * weights, rcond=None)
        if (found >= 0).all():
            factors[chosen] = found
            break
        # Nothing takes less than no time: what comes out so is too small to be told from noise.
        del chosen[int(found.argmin())]
    off = seconds - causes @ factors
    spread = float(((seconds - seconds.mean()) ** 2).sum()) or 1.0
    most = rows.max()
    peaks = {count: max(each["peak_mib"] for each in measured if each["rows"] == count) for count in set(rows)}
    # Tables of less than a tenth may be smaller than what is held of any table at a time.
    compared = min(count for count in peaks if count >= most / 10)
    return {
        "fixed_seconds": float(factors[0]),
        "serial_microseconds_per_row": float(factors[1] * 1e6),
        "parallel_microseconds_per_row": float(factors[2] * 1e6),
        "r_squared": 1 - float((off**2).sum()) / spread,
        "memory_rows": [float(compared), float(most)],
        "memory_ratio": peaks[most] / peaks[compared],
    }


def _forecast(model: dict[str, Any]) -> dict[str, float]:
    """A billion rows on fifty machines with two processes each, were the line to go on that far."""
    serial = model["serial_microseconds_per_row"] / 1e6 * _FORECAST_ROWS
    parallel = model["parallel_microseconds_per_row"] / 1e6 * _FORECAST_ROWS / _FORECAST_PROCESSES
    return {
        "rows": _FORECAST_ROWS,
        "processes": _FORECAST_PROCESSES,
        "serial_seconds": serial,
        "parallel_seconds": parallel,
        "seconds": model["fixed_seconds"] + serial + parallel,
    }


@contextmanager
def _late(services: Services, latency_ms: float) -> Iterator[dict[str, str]]:
    """The environment of an S3 that answers late."""
    environment = services.use("s3")
    with late_proxy(urlsplit(services.addresses["s3"]).port or 80, latency_ms) as port:
        yield {**environment, "S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


@contextmanager
def late_proxy(target_port: int, latency_ms: float) -> Iterator[int]:
    """The port of a proxy that answers late; see `latency_proxy`."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.latency_proxy", str(port), str(target_port), str(latency_ms)]
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 - our own command
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _uploaded(table: Path, services: Services) -> str:
    """The table as an object, put there without the delay."""
    from engine.config import EngineConfig
    from engine.storage import open_storage

    environment = services.use("s3")
    with _variables(environment):
        storage = open_storage(f"s3://{BUCKET}", EngineConfig(s3_endpoint_url=environment["S3_ENDPOINT_URL"]))
        if table.name not in [info.key for info in storage.list(table.name)]:
            with table.open("rb") as file, storage.open_writer(table.name) as writer:
                while block := file.read(1024 * 1024):
                    writer.write(block)
    return f"s3://{BUCKET}/{table.name}"


@contextmanager
def _variables(environment: dict[str, str]) -> Iterator[None]:
    """boto3 reads its credentials from the environment of the process."""
    import os

    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

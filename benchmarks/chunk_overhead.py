"""`python -m benchmarks.chunk_overhead`: what a chunk costs beside its rows, in the distributed way.

A table of tiny chunks (two rows, one of them refused, so that both parts are put) is run chunk by chunk in this
process, by the steps that a worker's task takes: claim, read, handler, two PUTs, commit, progress, and the order for
the next chunk, which goes to a broker that nobody listens to. PostgreSQL, Valkey and S3 are real servers on this
machine; what they do on the same cores is in the wall time. "two PUTs, by hand" are those requests alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.people import HEADER
from benchmarks.services import Services

_ROWS_PER_CHUNK = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chunk_overhead", description=__doc__)
    parser.add_argument("--chunks", type=int, default=500, help="chunks that are counted (default: 500)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rowmill-benchmark-") as name, Services(Path(name)) as services:
        os.environ |= services.use("redis", "postgresql", "s3")
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
        figures = measure(arguments.chunks)
    facts = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.platform()}
    if arguments.json:
        print(json.dumps({"machine": facts, **figures}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for name, each in figures.items():
        wall = f"{each['median_ms']:>7.1f} ms, 95 % below {each['p95_ms']:>6.1f} ms"
        print(f"{name:<24}{wall}; {each['cpu_ms']:>6.2f} ms CPU")


def measure(chunks: int) -> dict[str, dict[str, float]]:
    """Run a job of so many tiny chunks; figures of a whole chunk, of its steps, and of two PUTs alone.

    The services are those that the environment names.
    """
    import django

    from benchmarks.project.celery import app

    app.set_current()
    django.setup()
    from django.core.management import call_command

    from django_integration.imports import bridge

    call_command("migrate", run_syncdb=True, verbosity=0)
    warm_up = max(1, chunks // 20)
    job_id = _start(chunks + warm_up)
    parts = bridge.process_parts()
    parts.steps.plan(job_id)
    for index in range(warm_up):
        parts.fair_steps.chunk(job_id, index)
    clock = _Clock()
    with clock.watching(parts):
        for index in range(warm_up, warm_up + chunks):
            clock.take("whole chunk", parts.fair_steps.chunk, job_id, index)
    parts.steps.finish(job_id)
    job = parts.ledger.job(job_id)
    if job.status != "succeeded" or job.counts.failure_count != chunks + warm_up:
        raise SystemExit(f"The import ended otherwise: {job.status}, {job.counts}")
    storage = _storage()
    for number in range(chunks):
        clock.take("two PUTs, by hand", _put_two, storage, number)
    return clock.figures()


class _Clock:
    """Wall and processor time by name."""

    def __init__(self) -> None:
        self._taken: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def take(self, name: str, work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        began, began_cpu = time.perf_counter(), time.process_time()
        try:
            return work(*arguments, **more)
        finally:
            self._taken[name].append((time.perf_counter() - began, time.process_time() - began_cpu))

    @contextmanager
    def watching(self, parts: Any) -> Iterator[None]:
        """Time the steps of a chunk as well."""
        from django_integration.imports.ledger.attempts import AtomicWork
        from engine.chunk_runner import attempt
        from engine.chunk_runner.outcome_writer import OutcomeWriter
        from engine.progress import Ticker

        places = [
            ("  whose turn it is", parts.fair_steps, "_next_turn"),
            ("  what was left", parts.coordinator, "abandoned_chunk"),
            ("  claim", parts.ledger, "claim"),
            ("  read and cut", attempt.Attempt, "_slices"),
            ("  two PUTs", OutcomeWriter, "finish"),
            ("  mark done", AtomicWork, "commit"),
            ("  progress", Ticker, "done"),
            ("  next chunk", parts.coordinator, "after_chunk"),
            ("  message", parts.executor, "send_chunks"),
        ]
        kept = []
        for name, owner, method in places:
            original = getattr(owner, method)
            kept.append((owner, method, owner.__dict__.get(method)))
            setattr(owner, method, self._timed(name, original))
        try:
            yield
        finally:
            for owner, method, original in kept:
                if original is None:
                    delattr(owner, method)
                else:
                    setattr(owner, method, original)

    def _timed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **more: Any) -> Any:
            return self.take(name, original, *arguments, **more)

        return timed

    def figures(self) -> dict[str, dict[str, float]]:
        """By name, in the order in which they were first taken, the whole first."""
        found = {}
        for name in sorted(self._taken, key=lambda name: name != "whole chunk"):
            walls = sorted(wall for wall, _ in self._taken[name])
            found[name] = {
                "median_ms": 1000 * statistics.median(walls),
                "p95_ms": 1000 * walls[int(0.95 * (len(walls) - 1))],
                "cpu_ms": 1000 * statistics.fmean(cpu for _, cpu in self._taken[name]),
            }
        return found


def _start(chunks: int) -> str:
    """A new job over a table in the storage."""
    from django.contrib.auth import get_user_model
    from rest_framework.test import APIClient

    from django_integration.files.models import FileModel

    lines = [",".join(HEADER)]
    for number in range(1, chunks * _ROWS_PER_CHUNK + 1):
        at = "@" if number % 2 else " at "
        lines.append(f"{number},Ines,Jansen,person{number}{at}example.org,1,2.00,2026-11-29,DK,alpha,true")
    data = "\n".join([*lines, ""]).encode()
    info = _storage().write("benchmark/chunk_overhead.csv", data)
    user, _ = get_user_model().objects.get_or_create(username="benchmark")
    record = FileModel.objects.create(
        purpose="benchmark",
        file_name="chunk_overhead.csv",
        file_path=info.key,
        is_confirmed=True,
        uploaded_by=user,
        size=info.size_bytes,
        etag=info.etag,
    )
    client = APIClient()
    client.force_authenticate(user)
    body = {"file_id": record.pk, "options": {"chunk_size": _ROWS_PER_CHUNK}}
    started = client.post("/api/row/import/", body)
    if started.status_code != 202:
        raise SystemExit(f"The import was refused: {started.content!r}")
    return str(started.json()["import_job_id"])


def _storage() -> Any:
    from django_integration.conf import storage_root
    from django_integration.files.storage import engine_config
    from engine.storage import open_storage

    return open_storage(storage_root(), engine_config())


def _put_two(storage: Any, number: int) -> None:
    for kind in ("success", "failed"):
        storage.write(f"benchmark/puts/{number}.{kind}.csv", b"some bytes\r\n" * 10)


if __name__ == "__main__":
    main()

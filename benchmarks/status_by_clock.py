"""`python -m benchmarks.status_by_clock`: status requests a second, by the clock, of one process on one core.

A real import runs meanwhile (Celery worker, PostgreSQL, Valkey, S3), slow enough to outlast the measurement. Django is
served by gunicorn with one process, held to the first core; everything else, the load generator too, has the others.
Requests log in by a signed token and go through Django's usual middleware; each answer says how many queries it took.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks import generate
from benchmarks.services import ROOT, Services
from tests.services import free_port

_START_SECONDS = 60.0
#: So slow that the import outlasts any measurement.
_ROW_MICROSECONDS = 2_000.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where an answer was wrong or took a query."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.status_by_clock", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round (default: 5)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, after one warm-up (default: 5)")
    parser.add_argument("--clients", type=int, default=8, help="who ask at the same time (default: 8)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:])
    try:
        with tempfile.TemporaryDirectory() as folder, Services(Path(folder)) as running:
            os.environ |= running.use("redis", "postgresql", "s3", "django-1")
            os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
            figures = _measure(given, cores[0])
    finally:
        os.sched_setaffinity(0, cores)
    facts = {"python": platform.python_version(), "cores": len(cores), "machine": platform.platform()}
    if given.json:
        print(json.dumps({"machine": facts, **figures}, indent=1))
    else:
        print(", ".join(f"{name} {value}" for name, value in facts.items()))
        print(
            f"{figures['per_second']:,.0f} a second by the clock ({figures['least']:,.0f}..{figures['most']:,.0f}), "
            f"{figures['cpu_ms']:.2f} ms of CPU each: {1000 / figures['cpu_ms']:,.0f} for a second of CPU; "
            f"median {figures['p50_ms']:.1f} ms, 99 % {figures['p99_ms']:.1f} ms; "
            f"{figures['queries']} queries in {figures['requests']:,} requests; "
            f"{figures['rows_meanwhile']:,} rows were imported meanwhile"
        )
    return 0 if figures["queries"] == 0 and figures["wrong"] == 0 else 1


def _measure(given: argparse.Namespace, core: int) -> dict[str, Any]:
    import django

    from benchmarks.project.celery import app

    app.set_current()
    django.setup()
    from benchmarks.fairness import User
    from benchmarks.project.login import token_of

    user, table = User(), generate.people_csv(100_000)
    user.store(table)
    job = user.post(table, {"row_microseconds": _ROW_MICROSECONDS, "batch_size": 100})
    user.wait_for_rows(job)
    before = user.rows_of(job)
    with _server(core) as server:
        request = _request(server.port, job, token_of(user.pk))
        rounds = [_round(server, request, given.clients, given.seconds) for _ in range(given.rounds + 1)]
    rows, is_running = user.rows_of(job) - before, user.is_running(job)
    user.cancel(job)
    user.wait([job])
    counted = rounds[1:]
    answers = [answer for each in rounds for answer in each.answers]
    times = sorted(answer.seconds for each in counted for answer in each.answers)
    return {
        "per_second": statistics.median(each.per_second for each in counted),
        "least": min(each.per_second for each in counted),
        "most": max(each.per_second for each in counted),
        "cpu_ms": 1000 * statistics.median(each.cpu_seconds / len(each.answers) for each in counted),
        "p50_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * times[round(0.99 * (len(times) - 1))],
        "requests": len(answers),
        # The first answer of all is the one that is made from the database, and kept.
        "queries": sum(answer.queries for answer in answers[given.clients :]),
        "wrong": sum(not answer.is_right for answer in answers) + (not is_running),
        "rows_meanwhile": rows,
    }


class _Server:
    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self._process = process

    def cpu_seconds(self) -> float:
        """Of gunicorn's process that answers."""
        times = [child.cpu_times() for child in self._process.children()]
        return float(sum(each.user + each.system for each in times))


@contextmanager
def _server(core: int) -> Iterator[_Server]:
    port = free_port()
    words = [sys.executable, "-m", "gunicorn", "benchmarks.project.wsgi", "--bind", f"127.0.0.1:{port}"]
    words += ["--workers", "1", "--threads", "1", "--worker-class", "gthread", "--keep-alive", "60"]
    words += ["--log-level", "warning"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        words, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield _Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


class _Answer:
    __slots__ = ("is_right", "queries", "seconds")

    def __init__(self, text: bytes, seconds: float) -> None:
        self.seconds = seconds
        self.is_right = text.startswith(b"HTTP/1.1 200") and b'"status":"running"' in text
        _, _, after = text.partition(b"X-Queries: ")
        self.queries = int(after[: after.find(b"\r")] or 0)


class _Round:
    def __init__(self, answers: list[_Answer], seconds: float, cpu_seconds: float) -> None:
        self.answers = answers
        self.per_second = len(answers) / seconds
        self.cpu_seconds = cpu_seconds


def _request(port: int, job: str, token: str) -> bytes:
    lines = [f"GET /api/import/status/?task_id={job} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: {token}"]
    return "\r\n".join([*lines, "Accept: application/json", "", ""]).encode()


def _round(server: _Server, request: bytes, clients: int, seconds: float) -> _Round:
    """Ask by several connections, each at once when it has its answer."""
    found: list[list[_Answer]] = [[] for _ in range(clients)]
    began, began_cpu = time.perf_counter(), server.cpu_seconds()
    threads = [
        threading.Thread(target=_ask, args=(server.port, request, began + seconds, answers)) for answers in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return _Round([answer for answers in found for answer in answers], took, server.cpu_seconds() - began_cpu)


def _ask(port: int, request: bytes, until: float, answers: list[_Answer]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        while (began := time.perf_counter()) < until:
            connection.sendall(request)
            answers.append(_Answer(_received(connection), time.perf_counter() - began))


def _received(connection: socket.socket) -> bytes:
    text = b""
    while True:
        block = connection.recv(65_536)
        if not block:
            return text
        text += block
        head, end, body = text.partition(b"\r\n\r\n")
        _, _, after = head.partition(b"Content-Length: ")
        length = after.split(b"\r", 1)[0]
        if end and length and len(body) >= int(length):
            return text


if __name__ == "__main__":
    sys.exit(main())

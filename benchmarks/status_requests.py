"""`python -m benchmarks.status_requests`: how many requests for the status of a running job one core answers.

Whole requests through Django's WSGI handler and its usual middleware, in one process, against a real Valkey and
PostgreSQL on this machine; no web server and no network. CPU time is of this process, wall time includes the servers'
share on the same cores. "session" is Django's login by cookie, two queries; "free" is a login that asks nobody, which
shows the request itself. "database" answers without what is kept in Redis, as each request did before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

_STATUS = "/api/import/status/"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.status_requests", description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000, help="requests of a round (default: 2,000)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, after one warm-up (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    from tests.postgres_server import start_postgres
    from tests.services import start_valkey

    with start_postgres() as database_url, start_valkey(own=True) as redis_url:
        os.environ |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_integration.settings"
        figures = _measure(arguments.requests, arguments.rounds)
    facts = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.platform()}
    if arguments.json:
        print(json.dumps({"machine": facts, "cases": figures}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for name, each in figures.items():
        print(
            f"{name:<20}{each['cpu_ms']:>6.2f} ms CPU each, {1000 / each['cpu_ms']:>6,.0f} for a second of CPU;"
            f" {each['per_second']:>6,.0f} a second by the clock ({each['least']:,.0f}..{each['most']:,.0f});"
            f" {each['queries']} queries"
        )


def _measure(count: int, rounds: int) -> dict[str, Any]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from rest_framework.authentication import BaseAuthentication, SessionAuthentication

    from django_integration.files.models import FileModel
    from django_integration.imports import bridge
    from django_integration.imports.api.views import ImportStatusView
    from django_integration.imports.models import ImportJob

    call_command("migrate", verbosity=0)
    # The connection stays from request to request, as with CONN_MAX_AGE.
    connection.settings_dict["CONN_MAX_AGE"] = None
    user = User.objects.create_user("poller")
    file = FileModel.objects.create(purpose="test", file_name="t.csv", file_path="t.csv", uploaded_by=user)
    job = ImportJob.objects.create(
        file=file, created_by=user, handler_path="x", status="running", phase="processing", celery_task_id="task"
    )
    parts = bridge.process_parts()
    parts.progress.begin(str(job.pk), total_rows=1_000_000)
    client = Client()
    client.force_login(user)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())

    class FreeLogin(BaseAuthentication):
        def authenticate(self, request: Any) -> tuple[User, None]:  # noqa: ARG002
            return user, None

    handler = WSGIHandler()

    def ask() -> None:
        statuses: list[str] = []

        def answer(status: str, _headers: Any, _error: Any = None) -> Any:
            statuses.append(status)

        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": _STATUS,
            "QUERY_STRING": f"task_id={job.pk}",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_COOKIE": cookie,
            "HTTP_ACCEPT": "application/json",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
        }
        response = handler(environ, answer)
        body = b"".join(response)
        response.close()
        if statuses != ["200 OK"] or b'"status":"running"' not in body:
            raise AssertionError((statuses, body))

    def from_database() -> None:
        find, parts.statuses.find = parts.statuses.find, lambda task_id: None  # type: ignore[method-assign]  # noqa: ARG005
        try:
            ask()
        finally:
            parts.statuses.find = find  # type: ignore[method-assign]

    cases: dict[str, tuple[type[BaseAuthentication], Callable[[], None]]] = {
        "free, kept": (FreeLogin, ask),
        "session, kept": (SessionAuthentication, ask),
        "free, database": (FreeLogin, from_database),
        "session, database": (SessionAuthentication, from_database),
    }
    figures: dict[str, Any] = {}
    for name, (login, work) in cases.items():
        ImportStatusView.authentication_classes = [login]
        wall, cpu = [], []
        for number in range(rounds + 1):
            began, began_cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                work()
            if number:
                wall.append(count / (time.perf_counter() - began))
                cpu.append((time.process_time() - began_cpu) / count)
        with CaptureQueriesContext(connection) as queries:
            work()
        figures[name] = {
            "per_second": statistics.median(wall),
            "least": min(wall),
            "most": max(wall),
            "cpu_ms": 1000 * statistics.median(cpu),
            "queries": len(queries),
        }
    return figures


if __name__ == "__main__":
    main()

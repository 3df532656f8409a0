"""What imports stand on: the database, Celery and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS, connections

from django_integration.conf import import_settings, redis_url
from django_integration.imports.checks.carrying_out import TAG, never_raising

#: Seconds that Redis gets to answer.
_PING_SECONDS = 1.0
#: Seconds; a scan or a merge of a huge file may take so long, and its message would be run a second time meanwhile.
_LEAST_VISIBILITY_SECONDS = 300
#: Seconds in which a project is imported also where other processes have the machine.
_LEAST_START_SECONDS = 30.0
#: psycopg's number of an isolation level.
_SERIALIZABLE = 4
#: Seconds that a writer should wait for another one's chunk.
_LEAST_SQLITE_TIMEOUT_SECONDS = 20


@register(TAG)
@never_raising
def check_database() -> Iterator[CheckMessage]:
    """The database that holds jobs and chunks."""
    alias = import_settings().database
    if alias not in settings.DATABASES and alias != DEFAULT_DB_ALIAS:
        yield Error(
            f"IMPORT_DATABASE is {alias!r}, which is not in DATABASES.",
            hint="It must be the database that the handlers write to.",
            id="rowmill.E005",
        )
        return
    connection = connections[alias]
    if connection.vendor == "postgresql":
        if connection.settings_dict["OPTIONS"].get("isolation_level") == _SERIALIZABLE:
            yield Warning(
                f"DATABASES[{alias!r}] runs at the isolation level SERIALIZABLE: chunks that run side by side make one "
                "another fail, again and again.",
                hint="Give imports an alias of their own at READ COMMITTED or REPEATABLE READ (IMPORT_DATABASE).",
                id="rowmill.W034",
            )
        return
    if connection.vendor != "sqlite":
        if getattr(connection, "mysql_is_mariadb", False):
            return
        yield Warning(
            f"Imports are made for PostgreSQL and MariaDB, and for a try SQLite; {connection.display_name} is not "
            "tested.",
            id="rowmill.W032",
        )
        return
    options = connection.settings_dict["OPTIONS"]
    if str(options.get("transaction_mode") or "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Warning(
            f"DATABASES[{alias!r}] is SQLite without transaction_mode IMMEDIATE: a chunk that reads before it writes "
            'fails with "database is locked" as soon as another one writes.',
            hint='Set "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60}, or use PostgreSQL.',
            id="rowmill.W030",
        )
    # As sqlite3 has it by itself.
    timeout = options.get("timeout", 5.0)
    if timeout < _LEAST_SQLITE_TIMEOUT_SECONDS:
        yield Warning(
            f"DATABASES[{alias!r}] is SQLite with a timeout of {timeout:g} s: who writes while a chunk does "
            "may have to wait longer.",
            hint='Set "timeout" in its OPTIONS to 60.',
            id="rowmill.W031",
        )


@register(TAG)
@never_raising
def check_celery() -> Iterator[CheckMessage]:
    """What the host's Celery app would do to our tasks, whatever else it is for."""
    from celery import current_app

    from django_integration.imports import bridge, tasks

    app = current_app._get_current_object()
    # `default` is what Celery makes up where there is none.
    if app.main == "default" and not app.conf.broker_url:
        yield Warning(
            "The project has no Celery app, so that no worker would get an import.",
            hint="Make one, and import it in the project's __init__.py, as Celery's guide for Django has it.",
            id="rowmill.W020",
        )
        return
    conf = app.conf
    ours = [app.tasks[name] for name in (bridge.PLAN_TASK, bridge.CHUNK_TASK, bridge.FINISH_TASK, bridge.HELP_TASK)]
    # The tasks say so themselves; only task_annotations can take it from them.
    if not all(task.acks_late for task in ours):
        yield _celery("W021", "Import tasks are acknowledged before they are done.", "acks_late")
    if not all(task.reject_on_worker_lost for task in ours):
        yield _celery("W022", "Tasks of a killed process are not sent again at once.", "reject_on_worker_lost")
    if conf.worker_prefetch_multiplier != 1:
        yield _celery(
            "W023",
            f"worker_prefetch_multiplier is {conf.worker_prefetch_multiplier}: chunks wait in one worker while "
            "others are free.",
            "worker_prefetch_multiplier = 1",
        )
    # As above. Celery itself takes a task without one to be under the project's general limit; a soft one is held off.
    if any((task.time_limit or 0) < tasks.NO_LIMIT_SECONDS for task in ours):
        yield _celery(
            "W024",
            "A time limit can kill a chunk, a scan or a merge that takes longer again and again.",
            "no time_limit in task_annotations",
        )
    keeps_results = conf.task_store_errors_even_if_ignored or not all(task.ignore_result for task in ours)
    if conf.result_backend and not str(conf.result_backend).startswith("disabled") and keeps_results:
        yield _celery("W025", "Results of import tasks pile up in the result backend.", "task_ignore_result")
    unsafe = {"pickle", "application/x-python-serialize", "yaml", "application/x-yaml"}
    if conf.task_serializer != "json" or unsafe & set(conf.accept_content or ()):
        yield _celery(
            "W026",
            "Workers take messages that can run code by being read (pickle, yaml), or tasks are not sent as JSON.",
            'task_serializer = "json" and accept_content = ["json"]',
        )
    timeout = (conf.broker_transport_options or {}).get("visibility_timeout")
    if timeout is not None and timeout < _LEAST_VISIBILITY_SECONDS and _is_redis(conf.broker_url):
        yield _celery(
            "W027",
            f"The visibility timeout is {timeout} s: a scan or a merge that takes longer is started a second time.",
            f"a visibility_timeout of at least {_LEAST_VISIBILITY_SECONDS}",
        )
    if conf.worker_cancel_long_running_tasks_on_connection_loss:
        yield _celery(
            "W028",
            "A broker that is away for a moment ends the chunks in hand.",
            "worker_cancel_long_running_tasks_on_connection_loss = False",
        )
    alive_seconds = conf.worker_proc_alive_timeout or 0
    if alive_seconds < _LEAST_START_SECONDS:
        yield _celery(
            "W033",
            f"A new child of a worker that has not imported the project in {alive_seconds:g} s is killed: on a busy "
            "machine that is every one, for ever.",
            f"worker_proc_alive_timeout of at least {_LEAST_START_SECONDS:g}",
        )
    if conf.get("worker_pool_start_method", "fork") == "fork":
        yield _celery(
            "W029",
            "Workers fork: a child hangs when a handler uses a library with threads of its own, such as polars, that "
            "the parent had used.",
            'worker_pool_start_method = "spawn"',
        )


@register(TAG, deploy=True)
@never_raising
def check_redis() -> Iterator[CheckMessage]:
    """Redis, which holds the live counters; only with `check --deploy`."""
    try:
        from redis import Redis, RedisError
    except ImportError:
        yield Error("The package redis is missing.", hint="pip install 'rowmill[celery]'", id="rowmill.E010")
        return
    from engine.progress import url_without_secrets

    url = redis_url()
    place = url_without_secrets(url)
    # Celery's name for a socket is not the client's.
    client_url = url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    try:
        with Redis.from_url(
            client_url, socket_timeout=_PING_SECONDS, socket_connect_timeout=_PING_SECONDS, retry=None
        ) as client:
            client.ping()
            memory: Any = client.info("memory")
    except (RedisError, OSError, ValueError) as error:
        yield Error(
            f"Redis at {place} does not answer: {str(error).rstrip('.')}.",
            hint="Start it, or set IMPORT_REDIS_URL. Imports run without it, but show no live progress.",
            id="rowmill.E010",
        )
        return
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        yield Warning(
            f"Redis at {place} drops keys when it is full ({policy}): messages and counters of imports may go.",
            hint="Set its maxmemory-policy to noeviction, or give imports a Redis of their own.",
            id="rowmill.W011",
        )


def _celery(number: str, text: str, wanted: str) -> CheckMessage:
    hint = f"For the import workers: {wanted}. engine.runtime.celery_settings.worker_settings has what workers need."
    return Warning(text, hint=hint, id=f"rowmill.{number}")


def _is_redis(broker_url: Any) -> bool:
    return str(broker_url or "").startswith(("redis", "rediss", "sentinel", "valkey"))

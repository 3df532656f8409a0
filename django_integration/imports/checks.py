"""System checks: what would make imports fail, or lose their promises, named before the first one starts.

All but `check_redis` contact nobody, and run with every `manage.py` command; that one waits up to a
second for a server that a build machine does not have, so it runs with `check --deploy` only.
`manage.py check --tag rowmill` runs these alone.

E001 a view's handler cannot be imported     W020 there is no Celery app
E002 a view names no handler                 W021 chunks are acknowledged before they are done
E003 IMPORT_ALLOWED_HANDLERS                 W022 chunks of a killed process are not sent again
E004 another IMPORT_… setting                W023 workers keep chunks waiting in themselves
E005 IMPORT_DATABASE                         W024 a time limit kills chunks
E010 Redis does not answer                   W025 results of tasks are kept
W011 Redis may drop keys                     W026 messages may be pickled
W030 SQLite without IMMEDIATE                W027 the visibility timeout is short
W031 SQLite with a short timeout             W028 a lost connection ends running chunks
W032 a database without the locks            W029 workers fork
W034 PostgreSQL at SERIALIZABLE              W033 children are killed before they are ready
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS, connections

from django_integration.conf import import_settings, redis_url
from django_integration.files.storage import engine_config
from engine.errors import HandlerError, OptionError
from engine.handlers import resolve_handler
from engine.options import ImportOptions

TAG = "rowmill"

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


def _never_raising(check: Callable[[], Iterator[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
    """A check as Django calls it. What a project's own code raises meanwhile is told by Django's own checks."""

    def run(**_: Any) -> list[CheckMessage]:
        found: list[CheckMessage] = []
        try:
            found.extend(check())
        except Exception as error:  # noqa: BLE001 - settings and modules of the project may do anything
            text = f"{type(error).__name__}: {error}"[:500]
            found.append(Warning(f"{check.__name__} could not be carried through: {text}", id="rowmill.W099"))
        return found

    run.__name__ = check.__name__
    run.__doc__ = check.__doc__
    return run


@register(TAG)
@_never_raising
def check_views() -> Iterator[CheckMessage]:
    """Handlers that views name."""
    from django_integration.imports.api.mixins import AsyncImportProgressMixin

    for view in _views_below(AsyncImportProgressMixin):
        name = f"{view.__module__}.{view.__qualname__}"
        handler: str | None = view.import_row_handler
        batch_handler: str | None = view.import_batch_handler
        is_dynamic = (
            view.get_import_handler_path is not AsyncImportProgressMixin.get_import_handler_path
            or view.get_import_batch_handler_path is not AsyncImportProgressMixin.get_import_batch_handler_path
        )
        if handler is None and batch_handler is None and not is_dynamic:
            yield Error(
                f"{name} imports files but names no handler.",
                hint="Set import_row_handler or import_batch_handler, or override get_import_handler_path().",
                obj=view,
                id="rowmill.E002",
            )
        if handler is not None and batch_handler is not None:
            yield Error(
                f"{name} names a row handler and a batch handler; its imports would never use the row handler.",
                hint="Remove import_row_handler or import_batch_handler.",
                obj=view,
                id="rowmill.E002",
            )
        for path in (*(p for p in (handler, batch_handler) if p is not None), *view.import_row_handlers):
            yield from _unresolvable(path, f"{name}: ", "rowmill.E001", obj=view)


@register(TAG)
@_never_raising
def check_settings() -> Iterator[CheckMessage]:
    """`IMPORT_…` settings."""
    known = import_settings()
    allowed = known.allowed_handlers
    if isinstance(allowed, str) or not all(isinstance(path, str) for path in allowed):
        yield Error("IMPORT_ALLOWED_HANDLERS must be a list of dotted paths.", id="rowmill.E003")
    else:
        for path in allowed:
            yield from _unresolvable(path, "IMPORT_ALLOWED_HANDLERS: ", "rowmill.E003")
    try:
        engine_config()
        ImportOptions.from_mapping({"batch_size": known.default_batch_size, "chunk_size": known.default_chunk_size})
    except OptionError as error:
        yield Error(f"The IMPORT_… settings are not consistent: {error.message}", id="rowmill.E004")
    if not isinstance(known.s3_prefix, str) or any(name in (".", "..") for name in known.s3_prefix.split("/")):
        yield Error("IMPORT_S3_PREFIX must be a path such as 'uploads/imports/'.", id="rowmill.E004")
    for setting in ("result_retention_days", "failed_parts_retention_days"):
        value = getattr(known, setting)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            yield Error(
                f"IMPORT_{setting.upper()} must be a number of days above 0, or None, not {value!r}.", id="rowmill.E004"
            )
    for setting in ("progress_db_flush_every_n_batches", "result_presign_expires", "idle_transaction_seconds"):
        value = getattr(known, setting)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Error(f"IMPORT_{setting.upper()} must be a whole number above 0, not {value!r}.", id="rowmill.E004")


@register(TAG)
@_never_raising
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
@_never_raising
def check_celery() -> Iterator[CheckMessage]:
    """What the host's Celery app would do to our tasks, whatever else it is for."""
    from celery import current_app

    from django_integration.imports import bridge, tasks

    del tasks  # imported so that they are known
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
    if any(task.time_limit for task in ours) or conf.task_time_limit:
        yield _celery(
            "W024",
            "A time limit can kill a chunk, a scan or a merge that takes longer again and again.",
            "no task_time_limit for these tasks",
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
@_never_raising
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


def _views_below(kind: type) -> list[Any]:
    """View classes of the URLconf that are of a kind, each once, in the order of their addresses."""
    from django.urls import get_resolver

    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    found: dict[Any, None] = {}

    def walk(patterns: Any) -> None:
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns)
                continue
            callback = getattr(pattern, "callback", None)
            # DRF's viewsets keep their class as `cls`, Django's views as `view_class`.
            view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
            if isinstance(view, type) and issubclass(view, kind):
                found[view] = None

    try:
        walk(get_resolver().url_patterns)
    except Exception:  # noqa: BLE001 - an URLconf that does not load is told by Django's own check
        return []
    return list(found)


def _unresolvable(path: Any, where: str, check_id: str, obj: Any = None) -> Iterator[CheckMessage]:
    if not isinstance(path, str):
        yield Error(f"{where}a handler is named by a dotted path, not by {path!r}.", obj=obj, id=check_id)
        return
    try:
        resolve_handler(path)
    except HandlerError as error:
        yield Error(f"{where}{error.message}", obj=obj, id=check_id)


def _celery(number: str, text: str, wanted: str) -> CheckMessage:
    hint = f"For the import workers: {wanted}. engine.runtime.celery_settings.recommended_settings has all of it."
    return Warning(text, hint=hint, id=f"rowmill.{number}")


def _is_redis(broker_url: Any) -> bool:
    return str(broker_url or "").startswith(("redis", "rediss", "sentinel", "valkey"))

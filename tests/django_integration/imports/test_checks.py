"""System checks: each says something where there is something to say, and nothing else."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from django.core.checks import registry, run_checks
from django.db import connections
from django.urls import path
from psycopg import IsolationLevel
from rest_framework.viewsets import ViewSet

from django_integration.imports import checks
from django_integration.imports.api.mixins import AsyncImportProgressMixin
from engine.config import EngineConfig
from engine.runtime.celery_settings import recommended_settings
from tests.services import free_port

ACCEPT = "tests.django_integration.myapp.handlers.accept"


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.fixture
def urls(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`urls(view, …)`: an URLconf with an import of each."""

    def use(*views: Any) -> None:
        module = types.ModuleType("urls_of_a_check")
        module.urlpatterns = [  # type: ignore[attr-defined]
            path(f"{number}/", view.as_view({"post": "import_"})) for number, view in enumerate(views)
        ]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


def view(**attributes: Any) -> Any:
    return type("AView", (AsyncImportProgressMixin, ViewSet), attributes)


@pytest.fixture
def celery_app() -> Iterator[Callable[..., None]]:
    """`celery_app(task_acks_late=…)`: the project's app, as recommended but for that."""
    from celery import _state, current_app

    before = current_app._get_current_object()

    def use(**changes: Any) -> None:
        app = Celery("host", set_as_current=True)
        app.conf.update({**recommended_settings(EngineConfig()), **changes})

    yield use
    before.set_current()
    assert _state._tls.current_app is before


def test_the_projects_views_and_settings_pass() -> None:
    assert checks.check_views() == []
    assert checks.check_settings() == []


def test_every_check_is_registered_with_its_tag() -> None:
    def names(**which: bool) -> set[str]:
        found: list[Any] = registry.registry.get_checks(**which)
        return {check.__name__ for check in found if checks.TAG in check.tags}

    everyday = names()
    assert everyday == {"check_views", "check_settings", "check_database", "check_celery"}
    assert names(include_deployment_checks=True) - everyday == {"check_redis"}


# Views


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"import_row_handler": ACCEPT}, []),
        ({"import_row_handler": ACCEPT, "import_row_handlers": [ACCEPT]}, []),
        ({"get_import_handler_path": lambda _: ACCEPT}, []),
        ({"import_batch_handler": ACCEPT}, []),
        ({"get_import_batch_handler_path": lambda _: ACCEPT}, []),
        ({"import_batch_handler": f"{ACCEPT}s"}, ["rowmill.E001"]),
        ({"import_row_handler": ACCEPT, "import_batch_handler": ACCEPT}, ["rowmill.E002"]),
        ({"import_row_handler": f"{ACCEPT}s"}, ["rowmill.E001"]),
        ({"import_row_handler": "no.such.module.handler"}, ["rowmill.E001"]),
        ({"import_row_handler": "accept"}, ["rowmill.E001"]),
        ({"import_row_handler": len}, ["rowmill.E001"]),
        ({"import_row_handler": ACCEPT, "import_row_handlers": ["nothing.here"]}, ["rowmill.E001"]),
        ({}, ["rowmill.E002"]),
    ],
)
def test_a_views_handler_must_be_there(urls: Callable[..., None], attributes: Any, expected: list[str]) -> None:
    kind = view(**attributes)
    urls(kind, kind)  # one view under two addresses is told once
    messages = checks.check_views()
    assert ids(messages) == expected
    assert all(message.obj is kind for message in messages)


def test_other_views_are_no_matter(urls: Callable[..., None]) -> None:
    urls(type("Plain", (ViewSet,), {"import_": lambda *_: None}))
    assert checks.check_views() == []


def test_an_urlconf_that_does_not_load_is_left_to_django(settings: Any) -> None:
    settings.ROOT_URLCONF = "no.such.urlconf"
    assert checks.check_views() == []


def test_a_check_that_fails_says_so_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise LookupError("a secret place")

    monkeypatch.setattr(checks, "import_settings", fails)
    assert ids(checks.check_settings()) == ["rowmill.W099"]


# Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("IMPORT_ALLOWED_HANDLERS", [ACCEPT], []),
        ("IMPORT_ALLOWED_HANDLERS", ["no.such.handler", ACCEPT, "x"], ["rowmill.E003", "rowmill.E003"]),
        ("IMPORT_ALLOWED_HANDLERS", ACCEPT, ["rowmill.E003"]),
        ("IMPORT_ALLOWED_HANDLERS", [len], ["rowmill.E003"]),
        ("IMPORT_DEFAULT_BATCH_SIZE", 0, ["rowmill.E004"]),
        ("IMPORT_DEFAULT_CHUNK_SIZE", "many", ["rowmill.E004"]),
        ("IMPORT_LEASE_SECONDS", 0, ["rowmill.E004"]),
        ("IMPORT_S3_PREFIX", "../elsewhere/", ["rowmill.E004"]),
        ("IMPORT_RESULT_PRESIGN_EXPIRES", 0, ["rowmill.E004"]),
        ("IMPORT_RESULT_RETENTION_DAYS", 0, ["rowmill.E004"]),
        ("IMPORT_FAILED_PARTS_RETENTION_DAYS", "30", ["rowmill.E004"]),
        ("IMPORT_RESULT_RETENTION_DAYS", 0.5, []),
        ("IMPORT_PROGRESS_DB_FLUSH_EVERY_N_BATCHES", 2.5, ["rowmill.E004"]),
        ("IMPORT_PROGRESS_DB_FLUSH_EVERY_N_BATCHES", 1, []),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: Any, name: str, value: Any, expected: list[str]) -> None:
    setattr(settings, name, value)
    messages = checks.check_settings()
    assert ids(messages) == expected
    assert all(name in message.msg or "not consistent" in message.msg for message in messages)


# Database


@pytest.mark.parametrize(
    ("vendor", "options", "expected"),
    [
        ("postgresql", {}, []),
        ("postgresql", {"isolation_level": IsolationLevel.SERIALIZABLE}, ["rowmill.W034"]),
        ("postgresql", {"isolation_level": IsolationLevel.REPEATABLE_READ}, []),
        ("sqlite", {"transaction_mode": "IMMEDIATE", "timeout": 60}, []),
        ("sqlite", {"transaction_mode": "immediate", "timeout": 20}, []),
        ("sqlite", {"timeout": 60}, ["rowmill.W030"]),
        ("sqlite", {"transaction_mode": "DEFERRED", "timeout": 60}, ["rowmill.W030"]),
        ("sqlite", {"transaction_mode": "IMMEDIATE"}, ["rowmill.W031"]),
        ("sqlite", {"transaction_mode": "EXCLUSIVE", "timeout": 5}, ["rowmill.W031"]),
        ("mysql", {}, ["rowmill.W032"]),
    ],
)
def test_a_database_that_makes_chunks_wait_or_fail_is_named(
    monkeypatch: pytest.MonkeyPatch, vendor: str, options: dict[str, Any], expected: list[str]
) -> None:
    connection = connections["default"]
    monkeypatch.setattr(connection, "vendor", vendor)
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert ids(checks.check_database()) == expected


def test_an_alias_that_is_not_there_is_named(settings: Any) -> None:
    settings.IMPORT_DATABASE = "elsewhere"
    assert ids(checks.check_database()) == ["rowmill.E005"]


# Celery


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        # What holds for other tasks of the project does not hold for ours, which say it themselves.
        ({"task_acks_late": False, "task_reject_on_worker_lost": False, "task_ignore_result": False}, []),
        ({"result_backend": "redis://127.0.0.1:1/0"}, []),
        ({"task_annotations": {"rowmill.imports.chunk": {"acks_late": False}}}, ["rowmill.W021"]),
        ({"task_annotations": {"*": {"reject_on_worker_lost": False}}}, ["rowmill.W022"]),
        ({"worker_prefetch_multiplier": 4}, ["rowmill.W023"]),
        ({"task_soft_time_limit": 60}, []),  # which import tasks hold off
        ({"task_time_limit": 60}, ["rowmill.W024"]),
        ({"task_annotations": {"rowmill.imports.plan": {"time_limit": 60}}}, ["rowmill.W024"]),
        (
            {"result_backend": "redis://127.0.0.1:1/0", "task_store_errors_even_if_ignored": True},
            ["rowmill.W025"],
        ),
        ({"accept_content": ["json", "pickle"]}, ["rowmill.W026"]),
        ({"task_serializer": "pickle"}, ["rowmill.W026"]),
        ({"broker_transport_options": {"visibility_timeout": 30}}, ["rowmill.W027"]),
        ({"broker_transport_options": {"visibility_timeout": 30}, "broker_url": "amqp://"}, []),
        ({"broker_transport_options": {}}, []),
        ({"worker_cancel_long_running_tasks_on_connection_loss": True}, ["rowmill.W028"]),
        ({"worker_pool_start_method": "fork"}, ["rowmill.W029"]),
        ({"worker_proc_alive_timeout": 4.0}, ["rowmill.W033"]),
        ({"worker_proc_alive_timeout": None}, ["rowmill.W033"]),
    ],
)
def test_a_celery_setting_that_takes_a_promise_away_is_named(
    celery_app: Callable[..., None], changes: dict[str, Any], expected: list[str]
) -> None:
    celery_app(**changes)
    assert ids(checks.check_celery()) == expected


def test_a_project_without_a_celery_app_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import celery

    monkeypatch.setattr(celery, "current_app", Celery("default", set_as_current=False))
    monkeypatch.setattr(celery.current_app, "_get_current_object", lambda: celery.current_app, raising=False)
    assert ids(checks.check_celery()) == ["rowmill.W020"]


# Redis


def test_redis_is_asked_at_a_deployment_check_only(settings: Any, valkey_url: str) -> None:
    settings.IMPORT_REDIS_URL = valkey_url
    assert checks.check_redis() == []
    port = free_port()
    settings.IMPORT_REDIS_URL = f"redis://:hidden@127.0.0.1:{port}/0"
    messages = checks.check_redis()
    assert ids(messages) == ["rowmill.E010"]
    assert str(port) in messages[0].msg
    assert "hidden" not in messages[0].msg
    assert "rowmill.E010" not in ids(run_checks(tags=[checks.TAG]))
    assert "rowmill.E010" in ids(run_checks(tags=[checks.TAG], include_deployment_checks=True))


def test_a_redis_address_that_is_none_is_told(settings: Any) -> None:
    settings.IMPORT_REDIS_URL = "nonsense"
    assert ids(checks.check_redis()) == ["rowmill.E010"]


@pytest.mark.parametrize(
    ("maxmemory", "policy", "expected"),
    [(0, "allkeys-lru", []), (10**9, "noeviction", []), (10**9, "allkeys-lru", ["rowmill.W011"])],
)
def test_a_redis_that_drops_keys_is_named(
    settings: Any,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    maxmemory: int,
    policy: str,
    expected: list[str],
) -> None:
    import redis

    settings.IMPORT_REDIS_URL = valkey_url
    memory = {"maxmemory": maxmemory, "maxmemory_policy": policy}
    monkeypatch.setattr(redis.Redis, "info", lambda *_: memory)
    assert ids(checks.check_redis()) == expected

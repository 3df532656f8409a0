"""System checks: each says something where there is something to say, and nothing else."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.core.checks import registry, run_checks
from django.db import connections
from django.urls import path
from django.utils.functional import lazystr
from psycopg import IsolationLevel
from rest_framework.decorators import action
from rest_framework.viewsets import ViewSet

from django_integration.conf import file_settings, import_settings, storage_root
from django_integration.imports import checks
from django_integration.imports.api.mixins import AsyncImportProgressMixin
from django_integration.imports.checks import project
from engine.config import EngineConfig
from engine.runtime.celery_settings import recommended_settings, worker_settings
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
    assert everyday == {
        "check_views", "check_addresses", "check_settings", "check_names", "check_database", "check_celery",
    }  # fmt: skip
    assert names(include_deployment_checks=True) - everyday == {"check_redis"}


def test_an_app_with_tasks_of_its_own_needs_the_settings_of_workers_alone() -> None:
    before = current_app._get_current_object()
    app = Celery("host", set_as_current=True)
    own = {
        "result_backend": "redis://127.0.0.1:1/0",
        "task_routes": {"shop.*": {"queue": "shop"}},
        "task_time_limit": 300,
        "task_soft_time_limit": 60,
        "task_acks_late": False,
        "broker_transport_options": {"visibility_timeout": 43_200},
    }
    app.conf.update({"broker_url": "redis://127.0.0.1:1/0", **own})
    app.conf.update(worker_settings())
    try:
        assert checks.check_celery() == []
        assert {name: app.conf[name] for name in own} == own
    finally:
        before.set_current()


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


def test_an_action_of_the_views_own_at_the_address_of_the_import_is_told(urls: Callable[..., None]) -> None:
    def bulk_import(self: Any, request: Any) -> None: ...

    def import_one(self: Any, request: Any, pk: str) -> None: ...

    own = action(detail=False, methods=["post"], url_path="import")(bulk_import)
    other = action(detail=True, methods=["post"], url_path="import")(import_one)
    urls(view(import_row_handler=ACCEPT, bulk_import=own, import_one=other))
    (told,) = checks.check_views()
    assert told.id == "rowmill.W036"
    assert ".bulk_import has the url_path of import_" in told.msg


def test_an_urlconf_without_our_addresses_is_told(urls: Callable[..., None]) -> None:
    assert checks.check_addresses() == []
    urls(view(import_row_handler=ACCEPT))
    assert [message.hint for message in checks.check_addresses()] == [
        'path("api/files/", include("django_integration.files.api.urls"))',
        'path("api/", include("django_integration.imports.api.urls"))',
    ]
    urls(type("Plain", (ViewSet,), {"import_": lambda *_: None}))
    assert checks.check_addresses() == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("IMPORT_WINDOW", "16", "IMPORT_WINDOW must be a whole number, not '16'."),
        ("IMPORT_WINDOW", None, "IMPORT_WINDOW must be a whole number, not None."),
        ("IMPORT_ENABLE_RESULT_FILES", "no", "IMPORT_ENABLE_RESULT_FILES must be True or False, not 'no'."),
        ("IMPORT_MAX_ROWS_PER_JOB", True, "IMPORT_MAX_ROWS_PER_JOB must be a whole number or None, not True."),
        ("IMPORT_LEASE_SECONDS", "20", "IMPORT_LEASE_SECONDS must be a number, not '20'."),
        ("FILES_MAX_BYTES", "1GB", "FILES_MAX_BYTES must be a whole number, not '1GB'."),
        ("FILES_EXTENSIONS", ".csv", "FILES_EXTENSIONS must be a list of texts, not '.csv'."),
        ("IMPORT_MONITORING_TOKEN", b"secret", "IMPORT_MONITORING_TOKEN must be a text or None, not bytes."),
        ("FILES_PURPOSES", ["people"], "FILES_PURPOSES must be a dict or None, not ['people']."),
    ],
)  # fmt: skip
def test_a_setting_of_a_wrong_type_is_named_once(settings: Any, name: str, value: Any, message: str) -> None:
    setattr(settings, name, value)
    told = [each.msg for each in run_checks(include_deployment_checks=True) if "rowmill" in (each.id or "")]
    assert told.count(message) == 1
    assert not [text for text in told if "could not be carried through" in text]


def test_a_database_that_is_none_is_told_and_ends_no_command(settings: Any) -> None:
    settings.IMPORT_DATABASE = "other"
    told = ids(run_checks(include_deployment_checks=True))
    assert "rowmill.E005" in told
    assert "rowmill.W099" not in told


def test_a_setting_of_nearly_the_right_name_is_told(settings: Any) -> None:
    assert checks.check_names() == []
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USERS = 3
    settings.IMPORT_OF_OUR_OWN = 1
    (told,) = checks.check_names()
    assert told.hint.startswith("Is IMPORT_MAX_RUNNING_JOBS_PER_USER meant?")


def test_folders_may_be_paths(settings: Any, tmp_path: Path) -> None:
    settings.FILES_STORAGE_URL = settings.IMPORT_TEMP_DIR = tmp_path
    assert storage_root() == import_settings().temp_dir == str(tmp_path)


def test_settings_may_be_lazy_views_of_a_dict_or_come_of_a_division(settings: Any) -> None:
    settings.FILES_STORAGE_URL = lazystr("s3://uploads")
    settings.FILES_EXTENSIONS = {".csv": "text/csv"}.keys()
    settings.FILES_MAX_BYTES = 0.5 * 1024**3
    assert [each for each in run_checks() if (each.id or "").startswith("rowmill_files")] == []
    assert type(file_settings().storage_url) is str
    assert repr(file_settings().max_bytes) == "536870912"


def test_other_views_are_no_matter(urls: Callable[..., None]) -> None:
    urls(type("Plain", (ViewSet,), {"import_": lambda *_: None}))
    assert checks.check_views() == []


def test_an_urlconf_that_does_not_load_is_left_to_django(settings: Any) -> None:
    settings.ROOT_URLCONF = "no.such.urlconf"
    assert checks.check_views() == []


def test_a_check_that_fails_says_so_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise LookupError("a secret place")

    monkeypatch.setattr(project, "import_settings", fails)
    assert ids(checks.check_settings()) == ["rowmill.W099"]


# Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("IMPORT_ALLOWED_HANDLERS", [ACCEPT], []),
        ("IMPORT_ALLOWED_HANDLERS", ["no.such.handler", ACCEPT, "x"], ["rowmill.E003", "rowmill.E003"]),
        ("IMPORT_ALLOWED_HANDLERS", ACCEPT, ["rowmill.E004"]),
        ("IMPORT_ALLOWED_HANDLERS", [len], ["rowmill.E004"]),
        ("IMPORT_DEFAULT_BATCH_SIZE", 0, ["rowmill.E004"]),
        ("IMPORT_DEFAULT_CHUNK_SIZE", "many", ["rowmill.E004"]),
        ("IMPORT_LEASE_SECONDS", 0, ["rowmill.E004"]),
        ("IMPORT_S3_PREFIX", "../elsewhere/", ["rowmill.E004"]),
        ("IMPORT_RESULT_PRESIGN_EXPIRES", 0, ["rowmill.E004"]),
        ("IMPORT_RESULT_RETENTION_DAYS", 0, ["rowmill.E004"]),
        ("IMPORT_FAILED_PARTS_RETENTION_DAYS", "30", ["rowmill.E004"]),
        ("IMPORT_RESULT_RETENTION_DAYS", 0.5, []),
        ("IMPORT_IDLE_TRANSACTION_SECONDS", 3, ["rowmill.E004"]),
        ("IMPORT_TEMP_DIR", "/nowhere/at/all", ["rowmill.E004"]),
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
        (
            {"task_soft_time_limit": 60, "task_time_limit": 60},
            [],
        ),  # import tasks have their own, and hold off soft ones
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

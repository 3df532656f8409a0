"""Metrics and health: what they say, and to whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge, health, tasks
from django_integration.imports.models import ImportJob
from engine.errors import ServiceUnavailableError
from engine.progress import RedisProgress

pytestmark = pytest.mark.django_db

METRICS, HEALTH = "/api/imports/metrics/", "/api/imports/health/"
_from_url = RedisProgress.from_url


@pytest.fixture
def staff(client_of: Callable[..., APIClient]) -> APIClient:
    return client_of(User.objects.create_user("watcher", is_staff=True))


def metrics(client: APIClient) -> dict[tuple[str, ...], float]:
    """Name and labels → value, as Prometheus reads them."""
    answer = client.get(METRICS)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_metrics_say_what_became_of_jobs_rows_and_chunks(
    staff: APIClient,
    api: APIClient,
    stored_file: Callable[..., FileModel],
    run_to_end: Callable[[ImportJob], ImportJob],
    messages: list[Any],
) -> None:
    empty = metrics(staff)
    assert (empty["rowmill_jobs", "running"], empty["rowmill_queue_age_seconds",]) == (0, 0)
    jobs = []
    for _ in range(3):
        body = {"file_id": stored_file("n\n1\n2\n3\n").pk, "options": {"chunk_size": 1}}
        jobs.append(ImportJob.objects.get(pk=api.post("/api/dynamic/import/", body).data["import_job_id"]))
    run_to_end(jobs[0])
    steps = bridge.process_parts().steps
    steps.plan(str(jobs[1].pk))
    steps.chunk(str(jobs[1].pk), 0)
    ImportJob.objects.filter(pk=jobs[2].pk).update(created_at=timezone.now() - timedelta(hours=1))
    found = metrics(staff)
    assert [found["rowmill_jobs", status] for status in ("queued", "running", "succeeded", "failed")] == [1, 1, 1, 0]
    assert found["rowmill_rows_total", "success"] >= 1
    assert found["rowmill_rows_total", "failure"] >= 2
    assert found["rowmill_job_duration_seconds_count", "succeeded"] == 1
    assert found["rowmill_job_duration_seconds_sum", "succeeded"] > 0
    assert [found["rowmill_chunks", status] for status in ("done", "sent", "planned")] == [1, 1, 1]
    assert found["rowmill_chunk_attempts",] == 1
    assert 3_600 <= found["rowmill_queue_age_seconds",] < 3_700


def test_metrics_and_health_are_for_staff_and_for_who_has_the_token(
    api: APIClient, staff: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "check", lambda _: health.Health(is_well=True, seconds=0.01))
    for address in (METRICS, HEALTH):
        assert APIClient().get(address).status_code in (401, 403)
        assert api.get(address).status_code == 403
        assert staff.get(address).status_code == 200
        settings.IMPORT_MONITORING_TOKEN = "s3cret"  # noqa: S105
        assert APIClient().get(address, headers={"Authorization": "Bearer s3cret"}).status_code == 200
        for wrong in ("Bearer s3cre", "Bearer s3cretx", "s3cret", "Bearer ", "Bearer é"):
            assert APIClient().get(address, headers={"Authorization": wrong}).status_code in (401, 403)
        settings.IMPORT_MONITORING_TOKEN = None
        assert APIClient().get(address, headers={"Authorization": "Bearer None"}).status_code in (401, 403)


@pytest.fixture
def worker(
    redis_databases: Callable[[], str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, bool]]:
    """A real Redis, and a thread that does what a worker does with a probe; `worker["listens"]` turns it off."""
    settings.IMPORT_REDIS_URL = redis_databases()
    monkeypatch.setattr(bridge.RedisProgress, "from_url", _from_url)
    state, threads = {"listens": True}, []

    def send(task: str, *arguments: Any, **_: Any) -> None:
        assert task == bridge.PROBE_TASK
        if state["listens"]:
            threads.append(threading.Thread(target=tasks.probe, args=arguments))
            threads[-1].start()

    monkeypatch.setattr(bridge, "_send", send)
    yield state
    for thread in threads:
        thread.join()


def test_health_is_well_only_when_a_worker_answers(
    worker: dict[str, bool], staff: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = staff.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert 0 <= answer.json()["seconds"] < 5
    worker["listens"] = False
    monkeypatch.setattr("django_integration.imports.api.monitoring._TIMEOUT_SECONDS", 0.3)
    answer = staff.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    # Where a project has a default queue of its own, most are found to wait in another one than a worker listens to.
    assert answer.json()["reason"].startswith("No worker answered within 0.3 seconds. Imports wait in celery: ")


def test_the_command_says_the_same(worker: dict[str, bool]) -> None:
    call_command("check_import_workers")
    worker["listens"] = False
    with pytest.raises(CommandError, match=r"No worker answered within 0\.2 seconds"):
        call_command("check_import_workers", "--timeout", "0.2")


def test_a_broker_or_redis_that_is_away_is_named(
    worker: dict[str, bool], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ServiceUnavailableError("no", service="broker")

    with monkeypatch.context() as patch:
        patch.setattr(bridge, "_send", away)
        assert health.check(1).reason == "Broker does not answer."
    settings.IMPORT_REDIS_URL = "redis://127.0.0.1:1/0"
    assert health.check(1).reason == "Redis does not answer."

"""The Celery tasks; the project's workers find them by `app.autodiscover_tasks()`.

A message is a hint (job id, chunk index); what is to be done says the database, so a copy is
harmless and a lost one is sent again by the recovery loop that starts with every worker.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from django_integration.conf import import_settings
from django_integration.imports import bridge, health, sweeping
from engine.runtime.fair_steps import is_repeated
from engine.runtime.recovery_loop import install_in_workers
from engine.runtime.soft_limit import no_soft_time_limit

_OPTIONS = {"ignore_result": True, "acks_late": True, "reject_on_worker_lost": True}


@shared_task(name=bridge.PLAN_TASK, bind=True, **_OPTIONS)
@no_soft_time_limit()
def plan(self: Any, job_id: str) -> None:
    """Scan a job's source and send its first chunks, or do what is due before. After a crash it starts over."""
    bridge.process_parts().fair_steps.plan(job_id, is_repeated=is_repeated(self))


@shared_task(name=bridge.CHUNK_TASK, bind=True, **_OPTIONS)
@no_soft_time_limit()
def chunk(self: Any, job_id: str, chunk_index: int) -> None:
    """Run one chunk, or what is due before it, then send the next of its job. A copy does no harm."""
    bridge.process_parts().fair_steps.chunk(job_id, chunk_index, is_repeated=is_repeated(self))


@shared_task(name=bridge.FINISH_TASK, **_OPTIONS)
@no_soft_time_limit()
def finish(job_id: str) -> None:
    """Merge a job's parts and end it, or tell of its end; of several copies one does it."""
    bridge.finish(job_id)


@shared_task(name=bridge.HELP_TASK, **_OPTIONS)
@no_soft_time_limit()
def help_merge(job_id: str, position: int, step: int) -> None:
    """Make a piece of the Excel files of a job that is being merged, then send the next. A copy does no harm."""
    bridge.process_parts().steps.help(job_id, position, step)


@shared_task(name=bridge.PROBE_TASK, ignore_result=True)
def probe(name: str) -> None:
    """Say that this worker takes messages (`health`)."""
    health.answer(name)


@shared_task(name=bridge.SWEEP_TASK, ignore_result=True)
def sweep() -> None:
    """Remove what nobody needs any more, as `manage.py sweep_imports` does; for the project's Celery beat."""
    sweeping.sweep()


install_in_workers(bridge.recover_all, lambda: import_settings().recovery_interval_seconds)

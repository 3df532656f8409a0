"""What a process of the project needs to run the engine: the only room here that puts its parts together."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from celery import current_app
from django.db import close_old_connections, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from django_integration.conf import import_settings, redis_url
from django_integration.files.storage import engine_config
from django_integration.imports import announcing, eager, running_status
from django_integration.imports.ledger import DjangoLedger
from django_integration.imports.models import ImportJob
from django_integration.imports.progress_flush import FlushingProgress
from django_integration.imports.running_status import RunningStatuses
from engine.chunk_runner import ChunkRunner
from engine.coordinator import Coordinator
from engine.errors import RowmillError, ServiceUnavailableError
from engine.ledger.owner import this_process
from engine.model import Job
from engine.progress import ProgressSnapshot, RedisProgress, StepTimes
from engine.runtime.fair_steps import FairSteps
from engine.runtime.job_steps import FINISH_HERE_ROWS, JobSteps

logger = logging.getLogger(__name__)

PLAN_TASK = "rowmill.imports.plan"
CHUNK_TASK = "rowmill.imports.chunk"
FINISH_TASK = "rowmill.imports.finish"
PROBE_TASK = "rowmill.imports.probe"
SWEEP_TASK = "rowmill.imports.sweep"
HELP_TASK = "rowmill.imports.help"


class TaskExecutor:
    """The coordinator's Executor by the project's own Celery app."""

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Send a message per chunk. Raises ServiceUnavailableError when the broker takes none."""
        for chunk_index in chunk_indexes:
            _send(CHUNK_TASK, job_id, chunk_index)

    def send_plan(self, job_id: str) -> None:
        """Send the order to scan, once the transaction at hand is committed. Raises as `send_chunks`."""
        _send(PLAN_TASK, job_id)

    def send_finish(self, job_id: str) -> None:
        """Send the order to merge. Raises as `send_chunks`."""
        _send(FINISH_TASK, job_id)

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Send the order to help with a merge. Raises as `send_chunks`."""
        _send(HELP_TASK, job_id, position, step)


class SignalListener:
    """Tells the project of a job's end once it is committed."""

    def __init__(self, statuses: RunningStatuses | None = None) -> None:
        """
        Args:
            statuses: where the job is forgotten first; None for a process that has no Redis.
        """
        self._statuses = statuses

    def job_changed(self, job: Job) -> None:
        """See `engine.coordinator.JobListener`; a receiver that raises is logged."""
        if not job.status.is_final:
            return

        def tell() -> None:
            row = ImportJob.objects.select_related("file", "created_by").filter(pk=job.job_id).first()
            if row is not None and self._statuses is not None:
                self._statuses.drop(str(row.pk), row.celery_task_id)
            if row is not None:
                announcing.announce(row)

        transaction.on_commit(tell, using=import_settings().database)


class ProcessParts:
    """Ledger, counters, coordinator and runner of this process."""

    def __init__(self) -> None:
        settings = import_settings()
        config = engine_config()
        self.config = config
        self.ledger = DjangoLedger()
        counters = RedisProgress.from_url(redis_url(), config)
        self.statuses = RunningStatuses(counters)
        self.progress = FlushingProgress(
            counters,
            every_n_batches=settings.progress_db_flush_every_n_batches,
            using=settings.database,
            batch_size_of=lambda job_id: self.ledger.job(job_id).options["batch_size"],
        )
        owner = this_process()
        listener = SignalListener(self.statuses)
        self.coordinator = Coordinator(
            self.ledger, self.progress, config, owner=owner, listener=listener, costs=counters
        )
        self.executor = TaskExecutor()
        runner = ChunkRunner(self.ledger, self.progress, config, owner=owner, costs=counters)
        self.step_times = StepTimes(counters)
        self.steps = JobSteps(
            self.coordinator,
            runner,
            self.executor,
            finish_here_rows=FINISH_HERE_ROWS,
            observe=self.step_times.observe,
        )
        self.fair_steps = FairSteps(self.steps, self.ledger.next_turn)


def process_parts() -> ProcessParts:
    """The parts of this process; a forked child makes its own."""
    return _parts(os.getpid())


@lru_cache(maxsize=1)
def _parts(pid: int) -> ProcessParts:
    del pid
    return ProcessParts()


def forget_parts() -> None:
    """Have the parts made anew, after settings changed."""
    _parts.cache_clear()


def recover_all() -> None:
    """Look after every unfinished job once; safe anywhere, at any time, several at once."""
    parts = process_parts()
    try:
        for job in parts.ledger.jobs(unfinished_only=True):
            try:
                parts.coordinator.recover(job.job_id, parts.executor)
            except RowmillError:  # another job may fare better
                logger.warning("recovery put off", extra={"job_id": job.job_id}, exc_info=True)
        _drop_statuses_of_ended(parts)
        _tell_late(parts)
    finally:
        close_old_connections()


def _drop_statuses_of_ended(parts: ProcessParts) -> None:
    """Forget kept statuses of jobs that have just ended, as their workers do unless they die at that moment."""
    using, since = import_settings().database, timezone.now() - timedelta(seconds=running_status.TTL_SECONDS)
    # A job that has been swept ended long ago; the others have an index.
    ended = ImportJob.objects.using(using).filter(finished_at__gte=since).exclude(sweep=ImportJob.Sweep.DONE)
    for job_id, celery_task_id in ended.values_list("pk", "celery_task_id"):
        if not parts.statuses.drop(str(job_id), celery_task_id):
            return  # Redis is away, and would be waited for again and again


def _tell_late(parts: ProcessParts) -> None:
    """Have workers tell of ends that others should have told of: receivers run where they run otherwise."""
    for job_id in announcing.overdue():
        try:
            parts.executor.send_finish(job_id)
        except ServiceUnavailableError:  # and so for the next one
            logger.warning("broker away; ends are told later")
            return


def finish(job_id: str) -> None:
    """Merge a job's parts and end it, or tell of its end where nobody has."""
    process_parts().steps.finish(job_id)
    announcing.announce_if_overdue(job_id)


def send_probe(name: str) -> None:
    """Have a worker answer. Raises ServiceUnavailableError when the broker takes no message."""
    _send(PROBE_TASK, name)


def look_after(job_id: str) -> None:
    """Send what of one job may be sent now; a broker that is away is no error, as recovery sends it later."""
    parts = process_parts()
    try:
        parts.coordinator.recover(job_id, parts.executor)
    except ServiceUnavailableError:
        logger.warning("broker away; the job waits for recovery", extra={"job_id": job_id})


def live_snapshot(job_id: str) -> ProgressSnapshot | None:
    """The live counters; None where there are none, or Redis does not answer."""
    try:
        return process_parts().progress.snapshot(job_id)
    except ServiceUnavailableError:
        logger.warning("live counters away", extra={"job_id": job_id})
        return None


def _send(task: str, *arguments: Any, task_id: str | None = None) -> None:
    if current_app.conf.task_always_eager:  # which send_task leaves out of account
        eager.do(task, arguments, task_id)
        return
    try:
        current_app.send_task(task, args=arguments, task_id=task_id, ignore_result=True)
    except OperationalError as error:
        raise ServiceUnavailableError(f"The message broker takes no messages: {error}.", service="broker") from error


def send_plan(job_id: str, task_id: str) -> None:
    """Send the first order of a new job, under the task id that its user was told.

    A broker that is away is no error here: the job is queued in the database, and the recovery loop
    of the workers sends the order again.
    """
    try:
        _send(PLAN_TASK, job_id, task_id=task_id)
    except ServiceUnavailableError:
        logger.warning("broker away; the job waits for recovery", extra={"job_id": job_id})

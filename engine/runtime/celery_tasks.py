"""The engine's Celery tasks and the executor that sends them.

A message is (ledger, job id[, chunk index]) and only a hint: what is to be done, and whether it is
still to be done, says the ledger. So a copy is harmless, and a lost one is sent again by `recover`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from celery import Celery, current_app, shared_task
from kombu.exceptions import OperationalError

from engine.chunk_runner import ChunkRunner
from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.errors import RowmillError, ServiceUnavailableError
from engine.ledger import Ledger, open_ledger
from engine.ledger.owner import this_process
from engine.progress import RedisProgress, url_without_secrets
from engine.runtime.celery_settings import CHUNK_QUEUE, CONTROL_QUEUE
from engine.runtime.fair_steps import FairSteps, is_repeated
from engine.runtime.job_steps import FINISH_HERE_ROWS, JobSteps
from engine.runtime.ledger_registry import LedgerRegistry
from engine.runtime.soft_limit import no_soft_time_limit

logger = logging.getLogger(__name__)


class CeleryExecutor:
    """The coordinator's Executor by messages. One message is some 300 bytes of JSON, whatever the rows."""

    def __init__(self, app: Celery, ledger_url: str) -> None:
        self._app = app
        self._ledger_url = ledger_url

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Send a message per chunk. Raises ServiceUnavailableError when the broker takes none."""
        for chunk_index in chunk_indexes:
            self._send("rowmill.run_chunk", CHUNK_QUEUE, job_id, chunk_index)

    def send_plan(self, job_id: str) -> None:
        """Send the order to scan. Raises as `send_chunks`."""
        self._send("rowmill.plan_job", CONTROL_QUEUE, job_id)

    def send_finish(self, job_id: str) -> None:
        """Send the order to merge. Raises as `send_chunks`."""
        self._send("rowmill.finish_job", CONTROL_QUEUE, job_id)

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Send the order to help with a merge. Raises as `send_chunks`."""
        self._send("rowmill.help_merge", CHUNK_QUEUE, job_id, position, step)

    def _send(self, task: str, queue: str, *arguments: Any) -> None:
        try:
            self._app.send_task(task, args=(self._ledger_url, *arguments), queue=queue, ignore_result=True)
        except OperationalError as error:
            broker = url_without_secrets(str(self._app.conf.broker_url))
            raise ServiceUnavailableError(
                f"The broker at {broker} takes no messages: {error}. Start it, or set REDIS_URL to where it is.",
                service="broker",
                url=broker,
            ) from error


class ProcessParts:
    """What one process needs for the jobs of one ledger; made once, after the process has begun."""

    def __init__(self, ledger_url: str, app: Celery) -> None:
        config = EngineConfig.from_env()
        self.config = config
        self.ledger: Ledger = open_ledger(ledger_url, executor="celery")
        self.progress = RedisProgress.from_url(config.redis_url, config)
        owner = this_process()
        self.coordinator = Coordinator(self.ledger, self.progress, config, owner=owner, costs=self.progress)
        self.executor = CeleryExecutor(app, ledger_url)
        runner = ChunkRunner(self.ledger, self.progress, config, owner=owner, costs=self.progress)
        self.steps = JobSteps(self.coordinator, runner, self.executor, finish_here_rows=FINISH_HERE_ROWS)
        self.fair_steps = FairSteps(self.steps, self.ledger.next_turn)
        self.registry = LedgerRegistry(config)


def process_parts(ledger_url: str) -> ProcessParts:
    """The parts of this process for a ledger; a forked child makes its own."""
    return _parts(ledger_url, os.getpid())


@lru_cache(maxsize=8)
def _parts(ledger_url: str, pid: int) -> ProcessParts:
    del pid  # only tells the parent's from the child's
    return ProcessParts(ledger_url, current_app._get_current_object())


_OPTIONS = {"ignore_result": True, "acks_late": True, "reject_on_worker_lost": True}


@shared_task(name="rowmill.plan_job", bind=True, **_OPTIONS)
@no_soft_time_limit()
def plan_job(self: Any, ledger_url: str, job_id: str) -> None:
    """Scan a job's source and send its first chunks, or do what is due before. After a crash it starts over."""
    parts = process_parts(ledger_url)
    parts.registry.register(ledger_url)
    parts.fair_steps.plan(job_id, is_repeated=is_repeated(self))


@shared_task(name="rowmill.run_chunk", bind=True, **_OPTIONS)
@no_soft_time_limit()
def run_chunk(self: Any, ledger_url: str, job_id: str, chunk_index: int) -> None:
    """Run one chunk, or what is due before it, then send the next of its job. A copy does no harm."""
    parts = process_parts(ledger_url)
    parts.registry.register(ledger_url)
    parts.fair_steps.chunk(job_id, chunk_index, is_repeated=is_repeated(self))


@shared_task(name="rowmill.finish_job", **_OPTIONS)
@no_soft_time_limit()
def finish_job(ledger_url: str, job_id: str) -> None:
    """Merge a job's parts and end it; of several copies one does it."""
    process_parts(ledger_url).steps.finish(job_id)


@shared_task(name="rowmill.help_merge", **_OPTIONS)
@no_soft_time_limit()
def help_merge(ledger_url: str, job_id: str, position: int, step: int) -> None:
    """Make a piece of the Excel files of a job that is being merged, then send the next. A copy does no harm."""
    process_parts(ledger_url).steps.help(job_id, position, step)


def recover_all(registry: LedgerRegistry) -> None:
    """Recover every unfinished job of Celery's in every known ledger once.

    Safe anywhere, at any time, several at once.
    """
    for ledger_url in registry.ledgers():
        try:
            parts = process_parts(ledger_url)
            for job in parts.ledger.jobs(unfinished_only=True):
                if job.executor != "celery":
                    continue
                registry.register(ledger_url)
                parts.coordinator.recover(job.job_id, parts.executor)
        except RowmillError:
            logger.warning("recovery put off", extra={"ledger": ledger_url}, exc_info=True)

"""Starting a job on Celery workers from a shell, and watching it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery import Celery

from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.errors import InterruptedJobError, error_of
from engine.ledger import Ledger
from engine.model import Counts, Job
from engine.runtime.celery_settings import recommended_settings
from engine.runtime.celery_tasks import CeleryExecutor
from engine.runtime.ledger_registry import LedgerRegistry
from engine.status import Phase, Status

#: Seconds between two looks at the job; one look is one query and one round trip to Redis.
_LOOK_SECONDS = 0.1


class CeleryRun:
    """Sends one job to the workers and waits. The job does not need this process; it only watches."""

    def __init__(
        self,
        coordinator: Coordinator,
        ledger: Ledger,
        config: EngineConfig,
        *,
        on_progress: Callable[[Job, Counts], None] = lambda _job, _counts: None,
    ) -> None:
        """
        Args:
            on_progress: called a few times a second with the job and its live counts.
        """
        # An app of its own: Celery keeps the connections of an app, also when its broker_url changes.
        app = Celery("rowmill", set_as_current=False)
        app.conf.update(recommended_settings(config))
        self._coordinator = coordinator
        self._ledger = ledger
        self._config = config
        self._executor = CeleryExecutor(app, ledger.url)
        self._registry = LedgerRegistry(config)
        self._on_progress = on_progress

    def run(self, job_id: str) -> Job:
        """Have the job done and return it ended.

        Raises:
            ServiceUnavailableError: the broker takes no messages.
            InterruptedJobError: Ctrl-C; the job goes on without this process.
            RowmillError: the job failed; it can be resumed.
        """
        try:
            job = self._ledger.job(job_id)
            self._registry.register(self._ledger.url)
            if job.status is Status.QUEUED or job.phase is Phase.SCANNING:
                self._executor.send_plan(job_id)
            return self._watch(job_id)
        except KeyboardInterrupt:
            raise InterruptedJobError(
                f"Job {job_id} goes on without this command.", job_id=job_id, goes_on=True
            ) from None

    def _watch(self, job_id: str) -> Job:
        next_recovery = time.monotonic()
        while True:
            job = self._ledger.job(job_id)
            self._on_progress(job, self._coordinator.counts(job))
            if job.status is Status.FAILED:
                raise error_of(job.error_code or "", job.error_message or "The job failed.", job_id=job_id)
            if job.status.is_final:
                return job
            if time.monotonic() >= next_recovery:
                # This process looks after the job like a worker does, for the case that no other is left.
                next_recovery = time.monotonic() + self._config.recovery_interval_seconds
                self._registry.register(self._ledger.url)
                self._coordinator.recover(job_id, self._executor)
            time.sleep(_LOOK_SECONDS)

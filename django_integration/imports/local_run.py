"""A job run to its end in this very process, chunk by chunk, on the project's database and storage.

Neither broker nor Redis is needed. Where Celery workers look after the same database they may take
some of the chunks; each is run once all the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from django_integration.conf import import_settings
from django_integration.files.storage import engine_config
from django_integration.imports.bridge import SignalListener
from django_integration.imports.ledger import DjangoLedger
from django_integration.imports.progress_flush import FlushingProgress
from engine.chunk_runner import ChunkRunner
from engine.coordinator import Coordinator
from engine.ledger.owner import this_process
from engine.model import Counts, Job
from engine.progress import MemoryProgress
from engine.report import JobReport
from engine.runtime.job_steps import JobSteps

OnProgress = Callable[[JobReport], None]

#: Seconds between two looks at a job whose chunks are all in the hands of others.
_LOOK_SECONDS = 0.5
#: Seconds between two reports while a chunk runs.
_REPORT_SECONDS = 0.2


class LocalRun:
    """Runs one job; also the coordinator's Executor, whose orders wait in a queue."""

    def __init__(self, on_progress: OnProgress = lambda _report: None) -> None:
        """
        Args:
            on_progress: is given a report a few times a second.
        """
        settings, config = import_settings(), engine_config()
        self._ledger = DjangoLedger()
        self._on_progress = on_progress
        self._orders: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._job: Job | None = None
        self._next_report = 0.0
        counters = _ReportingProgress(self._report)
        progress = FlushingProgress(
            counters,
            every_n_batches=settings.progress_db_flush_every_n_batches,
            using=settings.database,
            batch_size_of=lambda job_id: self._ledger.job(job_id).options["batch_size"],
        )
        owner = this_process()
        self._coordinator = Coordinator(self._ledger, progress, config, owner=owner, listener=SignalListener())
        runner = ChunkRunner(self._ledger, progress, config, owner=owner)
        self._steps = JobSteps(self._coordinator, runner, self)

    def run(self, job_id: str) -> JobReport:
        """Bring the job to its end and return it: succeeded, failed or cancelled.

        Ctrl-C cancels the job: nobody else could be relied on to go on with it. What was committed
        by then gets its result files.
        """
        try:
            return self._to_the_end(job_id)
        except KeyboardInterrupt:
            self._coordinator.cancel(job_id)
            self._orders.clear()
            return self._to_the_end(job_id)

    # The executor that the coordinator talks to

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Queue chunks."""
        for chunk_index in chunk_indexes:
            self._orders.append((self._steps.chunk, (job_id, chunk_index)))

    def send_plan(self, job_id: str) -> None:
        """Queue the scan."""
        self._orders.append((self._steps.plan, (job_id,)))

    def send_finish(self, job_id: str) -> None:
        """Queue the merge."""
        self._orders.append((self._steps.finish, (job_id,)))

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Nobody else is here to help."""

    def _to_the_end(self, job_id: str) -> JobReport:
        if self._ledger.job(job_id).status.value == "queued":
            self.send_plan(job_id)
        while True:
            while self._orders:
                step, arguments = self._orders.popleft()
                step(*arguments)
                self._job = self._ledger.job(job_id)
                self._report(self._coordinator.counts(self._job), now=True)
            job = self._ledger.job(job_id)
            if job.status.is_final:
                return JobReport(job=job, counts=job.counts)
            # What is left is in the hands of a worker, or of a process that has died.
            self._coordinator.recover(job_id, self)
            if not self._orders:
                time.sleep(_LOOK_SECONDS)

    def _report(self, counts: Counts, *, now: bool = False) -> None:
        if self._job is None or (not now and time.monotonic() < self._next_report):
            return
        self._next_report = time.monotonic() + _REPORT_SECONDS
        self._on_progress(JobReport(job=self._job, counts=counts))


class _ReportingProgress(MemoryProgress):
    """Counters in memory, whose every move is told."""

    def __init__(self, tell: Callable[[Counts], None]) -> None:
        super().__init__()
        self._tell = tell

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """As the protocol has it."""
        answer = super().record(job_id, chunk_index, attempt, counts, done=done)
        snapshot = self.snapshot(job_id)
        if snapshot is not None:
            self._tell(snapshot.counts)
        return answer

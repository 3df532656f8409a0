"""What was lost in a job is found and done again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine.chunk_runner import rebuild_progress
from engine.coordinator.cancelling import Cancelling
from engine.coordinator.desk import JobDesk
from engine.coordinator.failing import Failing
from engine.coordinator.finishing import Finishing, working_phase
from engine.coordinator.protocols import Executor
from engine.model import Job
from engine.status import Phase, Status

logger = logging.getLogger(__name__)

#: How many times longer a message may wait while other chunks of its job are being run.
_PATIENCE = 8
#: And how many times longer at most the order of a queued job, before it is sent once more.
_MOST_PATIENCE = 8
#: Jobs of which `recover` remembers how far they were.
_REMEMBERED_JOBS = 10_000


class Recovery:
    """Looks after jobs that others may have left."""

    def __init__(
        self,
        desk: JobDesk,
        cancelling: Cancelling,
        failing: Failing,
        finishing: Finishing,
        chunks_to_send: Callable[[str], list[int]],
    ) -> None:
        self._desk = desk
        self._cancelling = cancelling
        self._failing = failing
        self._finishing = finishing
        self._chunks_to_send = chunks_to_send
        self._processed_before: dict[str, int] = {}  # at the last look of `recover`

    def recover(self, job_id: str, executor: Executor) -> None:
        """Find what was lost in a running job and have it done again; safe at any time, anywhere."""
        job = self._desk.ledger.job(job_id)
        config = self._desk.config
        owner_is_gone = self._desk.owner_is_gone(job)
        # A scan that was left is taken up again where rows were run, so that the other rows become known.
        scan_is_over = owner_is_gone and not self._desk.ledger.begun_chunks(job_id)
        if job.cancel_requested and not job.status.is_final:
            self._cancelling.begin(job_id, scan_has_ended=scan_is_over)
            job = self._desk.ledger.job(job_id)
        elif job.error_code and job.status is Status.RUNNING:
            self._failing.begin(job_id, scan_has_ended=scan_is_over)
            job = self._desk.ledger.job(job_id)
        if job.status.is_final:
            return
        if job.status is Status.QUEUED:
            if self._may_be_lost(job):
                executor.send_plan(job_id)
                # So that this worker and the others count from now.
                queued = (Status.QUEUED, None)
                self._desk.ledger.move_job(job_id, expected=[queued], status=Status.QUEUED, phase=None)
        elif job.phase is Phase.SCANNING and owner_is_gone:
            executor.send_plan(job_id)
        elif job.phase is Phase.MERGING:
            if owner_is_gone and self._desk.ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, Phase.MERGING)],
                expected_owner=job.owner,
                status=Status.RUNNING,
                phase=working_phase(job),
            ):
                executor.send_finish(job_id)
            return
        if job.paused and not self._is_ending(job):
            self._after(job_id, executor)
            return
        lost = self._desk.ledger.take_back(
            job_id, lease_seconds=config.lease_seconds, resend_after_seconds=self._resend_after_seconds(job)
        )
        if lost:
            logger.warning("chunks taken back", extra={"job_id": job_id, "chunks": len(lost)})
        if self._is_ending(job):
            self._desk.ledger.drop_chunks(job_id)
        else:
            executor.send_chunks(job_id, [*lost, *self._chunks_to_send(job_id)])
            self._failing.check_budget(job_id)
        self._after(job_id, executor)

    def _may_be_lost(self, job: Job) -> bool:
        """Whether it is time to order a queued job once more, whose order waits, or was lost.

        Each time after twice as long, up to a bound: the orders of a thousand jobs that wait for their turn, sent by
        each worker at each look, would be more than are ever taken.
        """
        shortest = self._desk.config.resend_after_seconds
        waited_before = (self._desk.now() - job.created_at).total_seconds() - job.seconds_since_heartbeat
        patience = min(max(shortest, waited_before), _MOST_PATIENCE * shortest)
        return job.seconds_since_heartbeat > patience

    @staticmethod
    def _is_ending(job: Job) -> bool:
        return job.cancel_requested or job.error_code is not None

    def _after(self, job_id: str, executor: Executor) -> None:
        if self._finishing.is_ready_to_finish(job_id):
            executor.send_finish(job_id)
        self._desk.quietly(lambda: self._restore_progress(job_id))

    def _restore_progress(self, job_id: str) -> None:
        live = self._desk.progress.snapshot(job_id)
        # A process that dies between its commit and its last word leaves counters that lag behind.
        lags = live is not None and live.counts.processed_rows < self._desk.ledger.counts(job_id).processed_rows
        if live is None or lags:
            rebuild_progress(self._desk.ledger, self._desk.progress, job_id, only_if_missing=not lags)

    def _resend_after_seconds(self, job: Job) -> float:
        """How long a chunk may wait to be picked up: longer while the job's rows move, as it then waits its turn."""
        processed = self._desk.counts(job).processed_rows
        before = self._processed_before.get(job.job_id, processed)
        self._processed_before[job.job_id] = processed
        while len(self._processed_before) > _REMEMBERED_JOBS:
            del self._processed_before[next(iter(self._processed_before))]
        return self._desk.config.resend_after_seconds * (_PATIENCE if processed > before else 1)

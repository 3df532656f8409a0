"""The local executor: one job from its scan to its merge, by a pool of worker processes on this machine."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from engine.chunk_runner import Ran
from engine.config import EngineConfig
from engine.coordinator import Coordinator, ResultDrafts
from engine.errors import InterruptedJobError, RowmillError, error_of
from engine.ledger import Ledger
from engine.model import Counts, Job
from engine.progress import MemoryProgress
from engine.runtime.local_fork import ForkedProcess
from engine.runtime.local_pool import WorkerPool
from engine.runtime.local_process import WorkerProcess
from engine.status import Status

logger = logging.getLogger(__name__)

#: Seconds between two looks at the ledger for cancels, lost chunks and the end of the scan.
_LOOK_SECONDS = 0.25
#: Comes after every attempt that is still counted: the chunk has been committed, by whomever.
_LAST_ATTEMPT = sys.maxsize
#: Seconds that a scan gets to stop when the run ends.
_SCAN_GRACE_SECONDS = 5.0


class LocalRun:
    """Runs one job to its end with worker processes of its own."""

    def __init__(
        self,
        coordinator: Coordinator,
        ledger: Ledger,
        progress: MemoryProgress,
        config: EngineConfig,
        *,
        workers: int,
        forked: Sequence[ForkedProcess] = (),
        on_progress: Callable[[Job, Counts], None] = lambda _job, _counts: None,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            workers: processes, at least 1.
            forked: processes that wait to be taken as workers.
            on_progress: called a few times a second with the job and its live counts.
            on_interrupt: called when the first Ctrl-C was noticed.
        """
        self._coordinator = coordinator
        self._ledger = ledger
        self._progress = progress
        self._config = config
        self._pool = WorkerPool(ledger.url, config, count=workers, forked=forked)
        self._drafts: ResultDrafts | None = None
        self._on_progress = on_progress
        self._on_interrupt = on_interrupt
        self._planner: threading.Thread | None = None
        self._plan_error: Exception | None = None
        self._error: RowmillError | None = None
        self._is_ending = threading.Event()
        self._wants_finish = False
        self._others_have_chunks = False
        self._looked_at = time.time()
        self._trusts_silence_after = 0.0

    def run(self, job_id: str) -> Job:
        """Bring the job to its end, whether it is new or was interrupted. To be called once.

        Several runs, of this process or another, may have the same job: each chunk is run by one of them.

        Returns:
            The ended job: succeeded or cancelled.

        Raises:
            InterruptedJobError: Ctrl-C; the job can be resumed.
            RowmillError: the job failed; it has been marked so, and can be resumed.
        """
        try:
            return self._loop(job_id)
        except KeyboardInterrupt:
            self._is_ending.set()
            self._drain()
            job = self._ledger.job(job_id)
            if job.status.is_final and job.status is not Status.FAILED:
                return job
            raise InterruptedJobError(f"Job {job_id} was interrupted.", job_id=job_id) from None
        except Exception as error:
            self._end()
            # What the workers have just committed is in the counts and the files that the failed job keeps.
            with suppress(RowmillError):  # the first error is the one to tell
                self._coordinator.fail(job_id, _told(error))
                self._coordinator.finish(job_id)
            raise
        finally:
            self._end()
            if self._drafts is not None:
                self._drafts.discard()

    # The executor that the coordinator talks to

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Queue chunks for the workers of this run, but those that a living worker has already."""
        del job_id
        self._pool.kill_silent(chunk_indexes)
        self._pool.enqueue(chunk_indexes)

    def send_plan(self, job_id: str) -> None:
        """Scan in a thread, so that chunks can run and counts be shown meanwhile."""
        if self._is_planning():
            return

        def plan() -> None:
            try:
                self._coordinator.plan(job_id, should_stop=self._is_ending.is_set)
            except Exception as error:  # noqa: BLE001 - carried to the loop, which raises it
                self._plan_error = error

        self._planner = threading.Thread(target=plan, name="rowmill-planner", daemon=True)
        self._planner.start()

    def send_finish(self, job_id: str) -> None:
        """Finish at the loop's next turn."""
        del job_id
        self._wants_finish = True

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Give it to a worker, which goes on by itself."""
        self._pool.help_merge(job_id, position, step)

    # The loop

    def _loop(self, job_id: str) -> Job:
        job = self._ledger.job(job_id)
        if job.status.is_final:
            return self._ended(job)
        done = self._ledger.counts_by_chunk(job_id)
        self._progress.begin(job_id, total_rows=job.total_rows, done=done)
        self._drafts = ResultDrafts(job_id, self._ledger, self._config, done=done, name=os.urandom(8).hex())
        # The scan takes longer than a worker's start, so both begin together.
        if job.phase is None:
            self.send_plan(job_id)
        self._pool.staff(job_id)
        # Chunks that an earlier run had sent and nobody has begun are waited for by nobody but this run.
        self._pool.enqueue(
            self._ledger.take_back(job_id, lease_seconds=self._config.lease_seconds, resend_after_seconds=0)
        )
        next_look = 0.0
        while True:
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _LOOK_SECONDS
                job = self._look(job_id)
                if job.status.is_final:
                    return self._ended(job)
            self._fill(job_id)
            if self._wants_finish or (not self._pool.has_work and self._coordinator.is_ready_to_finish(job_id)):
                self._wants_finish = False
                next_look = 0.0
                if self._finish(job_id):
                    continue
            self._hear(job_id, timeout=0.005 if self._is_planning() else _LOOK_SECONDS)

    def _look(self, job_id: str) -> Job:
        """What cannot be heard from the workers: the scan's end, cancels, chunks held by a dead earlier run."""
        job = self._ledger.job(job_id)
        if self._plan_error is not None:
            if not isinstance(self._plan_error, RowmillError) or not (job.status.is_final or job.error_code):
                raise self._plan_error
            self._error, self._plan_error = self._error or self._plan_error, None
        if job.cancel_requested:
            self._pool.cancel(job_id)
        if job.cancel_requested or job.error_code or job.paused:
            self._pool.forget_waiting()  # nobody would be given any of it
        for worker in self._pool.dead_in_silence():
            self._bury(job_id, worker)
        self._pool.staff(job_id)
        if self._was_awake():
            self._coordinator.recover(job_id, self)
        if self._others_have_chunks or not self._pool.has_work:
            self._take_over_counts(job_id)
        self._on_progress(job, self._coordinator.counts(job))
        return self._ledger.job(job_id)

    def _take_over_counts(self, job_id: str) -> None:
        """Count what others have committed: orphans of an earlier run, or another run of the same job."""
        snapshot = self._progress.snapshot(job_id)
        if snapshot is None or snapshot.counts.processed_rows < self._ledger.counts(job_id).processed_rows:
            for chunk_index, counts in self._ledger.counts_by_chunk(job_id).items():
                self._progress.record(job_id, chunk_index, _LAST_ATTEMPT, counts, done=True)

    def _was_awake(self) -> bool:
        """False for a moment after this process, and so maybe the machine, has slept.

        Workers that slept as well must be heard before their silence is held against them.
        """
        now = time.time()
        if now - self._looked_at > self._config.lease_seconds / 2:
            self._trusts_silence_after = now + 2 * self._config.heartbeat_interval_seconds
        self._looked_at = now
        return now >= self._trusts_silence_after

    def _fill(self, job_id: str) -> None:
        if self._pool.is_short_of_chunks:
            self._pool.enqueue(self._coordinator.chunks_to_send(job_id, window=self._pool.window))
            if not self._pool.has_waiting and self._drafts is not None and not self._is_planning():
                self._drafts.end_is_near()
        self._pool.hand_out(job_id)

    def _hear(self, job_id: str, *, timeout: float) -> None:
        """Wait for messages and deaths, and take in all there are."""
        for worker, message in self._pool.heard(timeout):
            if message is None:
                self._bury(job_id, worker)
            else:
                self._take(job_id, worker, message)

    def _take(self, job_id: str, worker: WorkerProcess, message: Any) -> None:
        match message:
            case ("counts", _, chunk_index, attempt, counts, done):
                self._progress.record(job_id, chunk_index, attempt, counts, done=done)
            case ("cost", handler_path, rows, seconds):
                self._progress.note_cost(handler_path, rows=rows, seconds=seconds)
            case ("ready",):
                self._pool.got_something_done(worker)
            case ("ran", chunk_index, ran):
                self._pool.got_something_done()
                worker.chunk_ended(chunk_index)
                if ran is Ran.DONE and self._drafts is not None:
                    self._drafts.chunk_done(chunk_index)
                self._others_have_chunks = self._others_have_chunks or ran is Ran.NOTHING_TO_DO
                self._coordinator.check_budget(job_id)
                self._coordinator.enlarge(job_id)
                if ran is Ran.LOST:
                    # Taken back and not sent again, since this worker had it.
                    self._pool.enqueue([chunk_index])
            case ("error", chunk_index, error):
                worker.chunk_ended(chunk_index)
                # The chunks in hand are the last ones; then what was done is merged.
                self._error = self._error or error
                self._coordinator.fail(job_id, error)

    def _bury(self, job_id: str, worker: WorkerProcess) -> None:
        """A worker died: have its chunks run by another, and its counts put right."""
        self._pool.bury(worker)
        # What it had counted and not committed falls back; what it had committed and not told is counted.
        total = self._ledger.job(job_id).total_rows
        self._progress.begin(job_id, total_rows=total, done=self._ledger.counts_by_chunk(job_id))
        self._pool.staff(
            job_id, f"Worker processes end as soon as they start (exit code {worker.exit_code}); see above."
        )

    def _finish(self, job_id: str) -> bool:
        """Merge; False where that is another process's affair."""
        self._take_over_counts(job_id)
        job = self._ledger.job(job_id)
        self._on_progress(job, self._coordinator.counts(job))
        return self._coordinator.finish(job_id, self, self._drafts)

    def _ended(self, job: Job) -> Job:
        if job.status is Status.FAILED:
            if self._error is not None and self._error.code == job.error_code:
                raise self._error
            raise error_of(job.error_code or "", job.error_message or "The job failed.", job_id=job.job_id)
        return job

    # The end

    def _drain(self) -> None:
        """After Ctrl-C: let the chunks in hand end for a short while; a second Ctrl-C, however soon, ends the wait."""
        with suppress(KeyboardInterrupt):
            self._on_interrupt()
            self._pool.drain()

    def _end(self) -> None:
        """Have every worker give back what it holds and end; kill those that do not. A repeat does nothing."""
        self._is_ending.set()
        try:
            with suppress(KeyboardInterrupt):  # somebody is in a hurry
                self._pool.stop()
                if self._planner is not None:
                    self._planner.join(_SCAN_GRACE_SECONDS)
        finally:
            self._pool.end()

    def _is_planning(self) -> bool:
        return self._planner is not None and self._planner.is_alive()


def _told(error: Exception) -> RowmillError:
    if isinstance(error, RowmillError):
        return error
    return RowmillError(f"Internal error: {type(error).__name__}: {error}"[:500])

"""What every step of a job shares: the ledger and the counters, who is in charge, who is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from engine.config import EngineConfig
from engine.coordinator.protocols import JobListener
from engine.errors import LedgerError, RowmillError, ServiceUnavailableError
from engine.ledger import Ledger
from engine.ledger import owner as owners
from engine.model import Counts, Job, ResultFiles
from engine.progress import ProgressStore
from engine.status import Phase, Status

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The process is to end before its step does."""


class JobDesk:
    """One process's hold on the jobs of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        *,
        owner: str,
        listener: JobListener | None,
        now: Callable[[], datetime],
    ) -> None:
        self.ledger = ledger
        self.progress = progress
        self.config = config
        self.owner = owner
        self.now = now
        self._listener = listener

    def counts(self, job: Job) -> Counts:
        """The job's counts this moment: final ones, live ones, or where these are missing the ledger's recount."""
        if job.status.is_final:
            return job.counts
        try:
            snapshot = self.progress.snapshot(job.job_id)
        except ServiceUnavailableError:
            snapshot = None
        return snapshot.counts if snapshot is not None else self.ledger.counts(job.job_id)

    def told(self, job_id: str) -> Job:
        """The job as it is now, after its listener was told."""
        job = self.ledger.job(job_id)
        if self._listener is not None:
            self._listener.job_changed(job)
        return job

    def owner_is_gone(self, job: Job) -> bool:
        """Whether nobody scans or merges any more."""
        if job.owner is None or owners.is_dead(job.owner):
            return True
        return job.seconds_since_heartbeat > self.config.lease_seconds

    def take_no_more(self, job_id: str, phase: Phase, *, scan_has_ended: bool) -> bool:
        """Take what nobody has begun out of the work of a running job that is to end early; repeating it is harmless.

        Args:
            phase: that of a job whose last chunks run.
            scan_has_ended: whether its scan, which alone moves it on while there is one, is over.

        Returns:
            False when there is nothing to take: it has ended, or is being merged.
        """
        job = self.ledger.job(job_id)
        if job.status is not Status.RUNNING or job.phase is Phase.MERGING:
            return False
        if job.phase is Phase.PROCESSING or (job.phase is Phase.SCANNING and scan_has_ended):
            self.ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, job.phase)],
                expected_owner=job.owner or "",
                status=Status.RUNNING,
                phase=phase,
            )
        self.ledger.drop_chunks(job_id)
        return True

    def quietly(self, action: Callable[[], None]) -> None:
        """Live counters are a convenience: without them the job goes on, and they are rebuilt later."""
        try:
            action()
        except ServiceUnavailableError:
            logger.warning("progress store away", exc_info=True)

    def end_failed(
        self,
        job_id: str,
        error: RowmillError,
        *,
        expected_owner: str | None = None,
        result_files: ResultFiles | None = None,
        note: str = "",
    ) -> bool:
        """End a job as failed now. Parts are kept, so that it can be resumed; an error that it has already counts.

        Args:
            result_files: those of what was done; None for none.
            note: is added to the error's message.
            expected_owner: who must be scanning or merging at present; None for anyone.

        Returns:
            Whether this call ended the job; False when it has ended already, or is another owner's.
        """
        job = self.ledger.job(job_id)
        code, message = job.error_code or error.code, (job.error_message or text_of(error)) + note
        failed = self.ledger.move_job(
            job_id,
            expected=[(Status.QUEUED, None), *((Status.RUNNING, phase) for phase in Phase)],
            expected_owner=expected_owner,
            status=Status.FAILED,
            phase=None,
            counts=self.ledger.counts(job_id),
            result_files=result_files or ResultFiles(),
            error_code=code,
            error_message=message,
            finished_at=self.now(),
        )
        if failed:
            logger.error("job %s failed: %r", job_id, message, extra={"job_id": job_id, "error_code": code})
            self.told(job_id)
        return failed

    @contextmanager
    def in_charge(
        self, job_id: str, phase: Phase, *, given_back_as: Phase, fail: Callable[[RowmillError], bool]
    ) -> Iterator[None]:
        """While this process scans or merges: say so, mark the job failed on an error, give it back on an interrupt.

        It is given back as well when the ledger does not answer: whoever recovers the job goes on with it.

        An error counts for nothing when the job has ended meanwhile, or is another process's by now.

        Args:
            fail: marks the job failed if this process is still in charge, and says whether it did.

        Raises:
            RowmillError: the job has been marked failed with it.
        """
        try:
            with self._heartbeat(job_id):
                yield
        except Exception as error:
            if isinstance(error, Stopped):
                self._give_back(job_id, phase, given_back_as)
                return
            if isinstance(error, LedgerError) and error.transient:
                # Its database was away for a moment, which is no fault of the job.
                self._give_back(job_id, phase, given_back_as)
                raise
            told = error if isinstance(error, RowmillError) else _internal_error(error, str(phase), job_id)
            if fail(told):
                if told is error:
                    raise
                raise told from error
            logger.warning("error after the job was over", extra={"job_id": job_id}, exc_info=True)
        except BaseException:
            self._give_back(job_id, phase, given_back_as)
            raise

    def _give_back(self, job_id: str, phase: Phase, given_back_as: Phase) -> None:
        """Let whoever resumes the job go on at once, instead of waiting for this process's silence."""
        with suppress(LedgerError):  # then its silence has to do
            self.ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, phase)],
                expected_owner=self.owner,
                status=Status.RUNNING,
                phase=given_back_as,
            )

    @contextmanager
    def _heartbeat(self, job_id: str) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.config.heartbeat_interval_seconds):
                try:
                    self.ledger.job_heartbeat(job_id, self.owner)
                except LedgerError:
                    logger.warning("heartbeat failed", extra={"job_id": job_id}, exc_info=True)

        thread = threading.Thread(target=beat, name="rowmill-job-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def text_of(error: RowmillError) -> str:
    """An error's message as a ledger can keep it."""
    return error.message.encode(errors="backslashreplace").decode()


def _internal_error(error: Exception, doing: str, job_id: str) -> RowmillError:
    text = f"Internal error while {doing}: {type(error).__name__}: {error}"[:500]
    return RowmillError(text, job_id=job_id)

"""The end of a job because of an error that is not a row's: what was done keeps its result files."""

from __future__ import annotations

import logging

from engine.coordinator.desk import JobDesk, text_of
from engine.coordinator.error_budget import trouble
from engine.errors import RowmillError, SourceChangedError, TooManyErrorsError
from engine.model import Job
from engine.status import Phase, Status

logger = logging.getLogger(__name__)


class Failing:
    """Takes work back that has not begun, as a cancel does; the merge of what was done then ends the job."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    def fail(self, job_id: str, error: RowmillError, *, expected_owner: str | None = None) -> bool:
        """Let the running chunks be the last ones; a job of which nothing has begun fails at once.

        What was done is kept, so that the job can be resumed. The first error counts; of a cancelled
        job the cancel does.

        Args:
            expected_owner: who must be scanning or merging at present, and does so no more; None for anyone,
                in which case a scan goes on, so that the rest of the rows becomes known.

        Returns:
            Whether this call decided the end; False when it was decided before, or is another owner's affair.
        """
        job = self._desk.ledger.job(job_id)
        if job.status is not Status.RUNNING or job.phase is Phase.MERGING:
            return self._desk.end_failed(job_id, error, expected_owner=expected_owner)
        if job.phase in (Phase.CANCELLING, Phase.FAILING) or (job.error_code and expected_owner is None):
            # A chunk that was given back meanwhile is not to be run again.
            self._desk.ledger.drop_chunks(job_id)
            self._end_if_untouched(job_id)
            return False
        scan_goes_on = job.phase is Phase.SCANNING and expected_owner is None
        moved = self._desk.ledger.move_job(
            job_id,
            expected=[(Status.RUNNING, job.phase)],
            expected_owner=(job.owner or "") if expected_owner is None else expected_owner,
            status=Status.RUNNING,
            phase=Phase.SCANNING if scan_goes_on else Phase.FAILING,
            owner=job.owner if scan_goes_on else None,
            error_code=job.error_code or error.code,
            error_message=job.error_message or text_of(error),
        )
        if not moved:
            if expected_owner is not None or self._desk.ledger.job(job_id) == job:
                return False
            return self.fail(job_id, error)  # it had gone on to its next phase at this moment
        facts = {"job_id": job_id, "error_code": error.code}
        logger.error("job %s is failing: %r", job_id, error.message, extra=facts)
        self._desk.ledger.drop_chunks(job_id)
        if not self._end_if_untouched(job_id):
            self._desk.told(job_id)
        return True

    def begin(self, job_id: str, *, scan_has_ended: bool = False) -> None:
        """Take what nobody has begun out of the work of a job that has its error; repeating it is harmless.

        While a job is scanned, its scan alone moves it on.
        """
        if self._desk.take_no_more(job_id, Phase.FAILING, scan_has_ended=scan_has_ended):
            self._end_if_untouched(job_id)

    def check_budget(self, job_id: str) -> bool:
        """Fail a job whose refused rows, by the live counters, are more than its options allow; whether it did."""
        return self.check_budget_of(self._desk.ledger.job(job_id))

    def check_budget_of(self, job: Job) -> bool:
        """See `check_budget`; by a job that has just been read."""
        if job.options.get("max_errors") is None and job.options.get("max_error_rate") is None:
            return False
        if job.status is not Status.RUNNING or job.cancel_requested or job.error_code:
            return False
        text = trouble(job, self._desk.counts(job))
        return text is not None and self.fail(job.job_id, TooManyErrorsError(text, job_id=job.job_id))

    def _end_if_untouched(self, job_id: str) -> bool:
        """End a failing job of which no chunk has begun: it needs no files, as its source holds all of its rows."""
        job = self._desk.ledger.job(job_id)
        if (job.status, job.phase) != (Status.RUNNING, Phase.FAILING) or self._desk.ledger.begun_chunks(job_id):
            return False
        note = ""
        if job.error_code == SourceChangedError.code:
            note = " None of its rows was processed; the object that held them is gone, or another one by now."
        return self._desk.end_failed(job_id, _error_of(job), note=note)


def _error_of(job: Job) -> RowmillError:
    return RowmillError(job.error_message or "", job_id=job.job_id)

"""The early end of a job that somebody asked for."""

from __future__ import annotations

from engine.coordinator.desk import JobDesk
from engine.model import Job
from engine.status import Phase, Status


class Cancelling:
    """Takes work back that has not begun."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job: running batches are the last ones. Repeating it is harmless.

        Raises:
            JobNotFoundError: there is no such job.
        """
        if self._desk.ledger.request_cancel(job_id):
            self._desk.quietly(lambda: self._desk.progress.request_cancel(job_id))
            self.begin(job_id)
        return self._desk.ledger.job(job_id)

    def begin(self, job_id: str, *, scan_has_ended: bool = False) -> None:
        """Take what nobody has begun out of the work; ends a job that had not started.

        While a job is scanned, its scan alone moves it on: it sees the flag at its next block, and goes on
        to its end only where rows have been run already, so that the others are known.
        """
        if self._desk.ledger.move_job(
            job_id,
            expected=[(Status.QUEUED, None)],
            status=Status.CANCELLED,
            phase=None,
            finished_at=self._desk.now(),
        ):
            self._desk.told(job_id)
            return
        self._desk.take_no_more(job_id, Phase.CANCELLING, scan_has_ended=scan_has_ended)

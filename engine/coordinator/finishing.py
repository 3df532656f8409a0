"""The last step of a job: the recount, the merge, the end."""

from __future__ import annotations

from collections.abc import Sequence

from engine import failpoints
from engine.coordinator.desk import JobDesk
from engine.coordinator.protocols import Executor
from engine.coordinator.result_files import make_result_files, sweep
from engine.errors import InconsistentJobError
from engine.model import Counts, Job, ResultFiles
from engine.status import Phase, Status

_WORKING: Sequence[tuple[Status, Phase | None]] = (
    (Status.RUNNING, Phase.PROCESSING),
    (Status.RUNNING, Phase.CANCELLING),
)


class Finishing:
    """Ends jobs whose chunks are through."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    def is_ready_to_finish(self, job_id: str) -> bool:
        """Whether every chunk has an outcome and nothing but the merge is left."""
        job = self._desk.ledger.job(job_id)
        return (job.status, job.phase) in _WORKING and self._desk.ledger.unfinished_chunks(job_id) == 0

    def finish(self, job_id: str, executor: Executor | None = None) -> bool:
        """Merge the parts and end the job, if all its chunks are through. Of several callers one does it.

        Args:
            executor: is asked for help with what several processes can do; None to do it alone.

        Returns:
            Whether this call ended the job.

        Raises:
            RowmillError: the merge failed; the job has been marked failed and can be resumed.
        """
        if not self.is_ready_to_finish(job_id):
            return False
        if not self._desk.ledger.move_job(
            job_id, expected=_WORKING, status=Status.RUNNING, phase=Phase.MERGING, owner=self._desk.owner
        ):
            return False
        with self._desk.in_charge(job_id, Phase.MERGING, given_back_as=Phase.PROCESSING):
            if self._merge(self._desk.told(job_id), executor):
                return True
        # Another process has taken the merge over. What this one wrote after that one's end is nobody's.
        job = self._desk.ledger.job(job_id)
        if job.status in (Status.SUCCEEDED, Status.CANCELLED):
            self._sweep(job)
        return False

    def _merge(self, job: Job, executor: Executor | None) -> bool:
        failpoints.hit("finish.begun")
        counts = self._checked_counts(job)
        files = self._make_result_files(job, executor)
        failpoints.hit("finish.files_made")
        job_id = job.job_id
        ended = self._desk.ledger.move_job(
            job_id,
            expected=[(Status.RUNNING, Phase.MERGING)],
            expected_owner=self._desk.owner,
            status=Status.CANCELLED if job.cancel_requested else Status.SUCCEEDED,
            phase=None,
            counts=counts,
            result_files=files,
            finished_at=self._desk.now(),
        )
        if ended:
            failpoints.hit("finish.ended")
            self._desk.told(job_id)
            self._sweep(job)
        return ended

    def _checked_counts(self, job: Job) -> Counts:
        """The recount from the ledger, which must give every planned row one outcome."""
        planned, counts = 0, Counts()
        for state in self._desk.ledger.chunk_states(job.job_id):
            planned += state.chunk.row_count
            done = state.outcome.counts if state.outcome is not None else Counts()
            counts = counts + done
            if done.processed_rows != state.chunk.row_count and not job.cancel_requested:
                raise InconsistentJobError(
                    f"Chunk {state.chunk.chunk_index} of job {job.job_id} is {state.status}, "
                    "and not each of its rows has an outcome.",
                    job_id=job.job_id,
                    chunk_index=state.chunk.chunk_index,
                )
        if not job.cancel_requested and not planned == counts.processed_rows == job.total_rows:
            raise InconsistentJobError(
                f"Job {job.job_id} has {job.total_rows:,} rows, {planned:,} of them in chunks and "
                f"{counts.processed_rows:,} with an outcome.",
                job_id=job.job_id,
            )
        return counts

    def _make_result_files(self, job: Job, executor: Executor | None) -> ResultFiles:
        return make_result_files(job, self._desk.ledger, self._desk.config, executor)

    def _sweep(self, job: Job) -> None:
        sweep(job, self._desk.ledger, self._desk.config)

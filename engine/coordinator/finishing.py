"""The last step of a job: the recount, the merge, the end."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from engine import failpoints
from engine.coordinator.desk import JobDesk, text_of
from engine.coordinator.drafts import ResultDrafts
from engine.coordinator.error_budget import trouble
from engine.coordinator.protocols import Executor
from engine.coordinator.result_files import make_result_files, remove_unprocessed_file, sweep
from engine.coordinator.unprocessed import make_unprocessed_file
from engine.errors import InconsistentJobError, RowmillError, TooManyErrorsError
from engine.model import Counts, Job, ResultFiles
from engine.status import Phase, Status
from engine.storage import open_storage

logger = logging.getLogger(__name__)

_WORKING: Sequence[tuple[Status, Phase | None]] = (
    (Status.RUNNING, Phase.PROCESSING),
    (Status.RUNNING, Phase.CANCELLING),
    (Status.RUNNING, Phase.FAILING),
)


def working_phase(job: Job) -> Phase:
    """In which phase a job is whose chunks are through and not merged."""
    if job.cancel_requested:
        return Phase.CANCELLING
    return Phase.FAILING if job.error_code else Phase.PROCESSING


class Finishing:
    """Ends jobs whose chunks are through."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    def is_ready_to_finish(self, job_id: str) -> bool:
        """Whether every chunk has an outcome and nothing but the merge is left."""
        return self.is_ready(self._desk.ledger.job(job_id))

    def is_ready(self, job: Job) -> bool:
        """See `is_ready_to_finish`; by a job that has just been read."""
        return (job.status, job.phase) in _WORKING and self._desk.ledger.unfinished_chunks(job.job_id) == 0

    def finish(self, job_id: str, executor: Executor | None = None, drafts: ResultDrafts | None = None) -> bool:
        """Merge the parts and end the job, if all its chunks are through. Of several callers one does it.

        Args:
            executor: is asked for help with what several processes can do; None to do it alone.
            drafts: result files that have been begun.

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
        job = self._desk.told(job_id)

        def fail(error: RowmillError) -> bool:
            return self._desk.end_failed(job_id, error, expected_owner=self._desk.owner)

        with self._desk.in_charge(job_id, Phase.MERGING, given_back_as=working_phase(job), fail=fail):
            merge = self._merge_failed if job.error_code and not job.cancel_requested else self._merge
            if merge(job, executor, drafts):
                return True
        # Another process has taken the merge over. What this one wrote after that one's end is nobody's.
        job = self._desk.ledger.job(job_id)
        if job.status in (Status.SUCCEEDED, Status.CANCELLED):
            self._sweep(job)
        return False

    def _merge(self, job: Job, executor: Executor | None, drafts: ResultDrafts | None) -> bool:
        """Make the files of a job that has run to its end, or to its cancel."""
        failpoints.hit("finish.begun")
        counts = self._checked_counts(job)
        text = None if job.cancel_requested else trouble(job, counts)
        if text is not None:
            error = TooManyErrorsError(text, job_id=job.job_id)
            files = self._make_result_files(job, executor, drafts)
            return self._desk.end_failed(job.job_id, error, expected_owner=self._desk.owner, result_files=files)
        files, missing = self._with_unprocessed(job, counts, self._make_result_files(job, executor, drafts))
        failpoints.hit("finish.files_made")
        told = {} if missing is None else {"error_code": missing.code, "error_message": text_of(missing)}
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
            **told,
        )
        if ended:
            failpoints.hit("finish.ended")
            self._desk.told(job_id)
            if files.unprocessed_url is None:
                remove_unprocessed_file(job, self._desk.config)
            self._sweep(job)
        return ended

    def _merge_failed(self, job: Job, executor: Executor | None, drafts: ResultDrafts | None) -> bool:
        """Make the files of a job that has its error; without them where they cannot be made. Parts are kept."""
        counts, files, note = self._desk.ledger.counts(job.job_id), ResultFiles(), ""
        if counts.processed_rows:
            try:
                # First a short try: the storage may be what has failed.
                open_storage(job.output_url, self._desk.config, fail_fast=True).check_writable()
                files, missing = self._with_unprocessed(job, counts, self._make_result_files(job, executor, drafts))
                note = f" {text_of(missing)}" if missing is not None else ""
            except RowmillError as error:
                facts = {"job_id": job.job_id, "error_code": error.code}
                logger.warning("no result files of a failed job", extra=facts)
        first = RowmillError(job.error_message or "")  # which the job has already
        return self._desk.end_failed(job.job_id, first, expected_owner=self._desk.owner, result_files=files, note=note)

    def _with_unprocessed(
        self, job: Job, counts: Counts, files: ResultFiles
    ) -> tuple[ResultFiles, RowmillError | None]:
        """The files with that of the rows without an outcome, if there are any and the source can still be read.

        Of a job that has processed nothing there is none: that file is the source itself.
        """
        is_complete = counts.processed_rows in (0, job.total_rows)
        if is_complete or not self._desk.config.enable_result_files:
            return files, None
        try:
            url, cut = make_unprocessed_file(job, self._desk.ledger, self._desk.config)
        except RowmillError as error:
            logger.warning("no unprocessed file", extra={"job_id": job.job_id, "error_code": error.code})
            kind, text = type(error), f"The rows that were not processed have no file: {error.message}"
            return files, kind(text, **error.facts)
        if cut is not None:
            text = f"The file of the rows that were not processed ends where the source cannot be read: {cut.message}"
            cut = type(cut)(text, **cut.facts)
        return dataclasses.replace(files, unprocessed_url=url), cut

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

    def _make_result_files(self, job: Job, executor: Executor | None, drafts: ResultDrafts | None) -> ResultFiles:
        return make_result_files(job, self._desk.ledger, self._desk.config, executor, drafts)

    def _sweep(self, job: Job) -> None:
        sweep(job, self._desk.ledger, self._desk.config)

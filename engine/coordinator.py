"""The life of a job: create, plan, fan out, finish, merge, cancel, fail, recover.

Everything here may be called by any process, and again after any crash: each step is a
compare-and-set in the ledger or repeats harmlessly. Who runs the chunks is the executor's affair.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol

from engine.chunk_runner import rebuild_progress
from engine.config import EngineConfig
from engine.errors import (
    InconsistentJobError,
    LedgerError,
    RowmillError,
    ServiceUnavailableError,
    SourceTooLargeError,
    StatusTransitionError,
    StorageError,
)
from engine.handlers import resolve_handler
from engine.ledger import Ledger
from engine.ledger import owner as owners
from engine.model import Counts, Job, Part, ResultFiles
from engine.options import ImportOptions
from engine.progress import ProgressStore
from engine.results import PartKeys, ResultKind, header_cells, make_result_file
from engine.staging import staged_key
from engine.status import Phase, Status
from engine.storage import join_url, open_storage
from engine.table import TablePlanner, pin_source

logger = logging.getLogger(__name__)

#: Folder below the output that holds parts and staged copies while a job runs.
WORKSPACE = ".rowmill"
#: How many times longer a message may wait while other chunks of its job are being run.
_PATIENCE = 8
#: Jobs of which `recover` remembers how far they were.
_REMEMBERED_JOBS = 10_000
_WORKING: Sequence[tuple[Status, Phase | None]] = (
    (Status.RUNNING, Phase.PROCESSING),
    (Status.RUNNING, Phase.CANCELLING),
)


class Executor(Protocol):
    """Who gets chunks run and jobs finished, somewhere, some time: a message lost here is sent again."""

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Have these chunks run by a chunk runner, each at least once."""

    def send_plan(self, job_id: str) -> None:
        """Have `Coordinator.plan` called."""

    def send_finish(self, job_id: str) -> None:
        """Have `Coordinator.finish` called."""


class JobListener(Protocol):
    """Is told when a job's status changed."""

    def job_changed(self, job: Job) -> None:
        """The job as it is now. May be told twice of the same change; must not raise."""


class Coordinator:
    """Moves the jobs of one ledger forward."""

    def __init__(
        self,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        *,
        owner: str,
        listener: JobListener | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._progress = progress
        self._config = config
        self._owner = owner
        self._listener = listener
        self._now = now
        self._processed_before: dict[str, int] = {}  # at the last look of `recover`

    # Start

    def create(
        self, source_url: str, handler_path: str, options: ImportOptions, output_url: str, *, job_id: str | None = None
    ) -> Job:
        """Check everything that can be checked at once, and write a queued job.

        Raises:
            SourceError: the source is missing, or a folder.
            HandlerError: the handler does not load.
            OutputNotWritableError: the result files could not be written.
        """
        source = pin_source(source_url, self._config)
        resolve_handler(handler_path)
        output = open_storage(output_url, self._config, fail_fast=True)
        output.check_writable()
        job = Job(
            job_id=job_id or str(uuid.uuid4()),
            source=source,
            handler_path=handler_path,
            options=options.for_handler(),
            output_url=output.url,
            workspace_url=join_url(output.url, WORKSPACE),
            created_at=self._now(),
        )
        self._ledger.create_job(job)
        return job

    def resume(self, job_id: str) -> Job:
        """Make a failed job run again where it stopped; a job that is queued or running stays as it is.

        Raises:
            StatusTransitionError: the job has succeeded or was cancelled.
        """
        job = self._ledger.job(job_id)
        if job.status is Status.FAILED:
            phase = Phase.PROCESSING if job.total_rows is not None else None
            # Without a complete plan it starts over; the chunks that are there are kept.
            status = Status.RUNNING
            self._ledger.move_job(
                job_id,
                expected=[(Status.FAILED, None)],
                status=status,
                phase=phase or Phase.SCANNING,
                error_code=None,
                error_message=None,
                finished_at=None,
            )
            job = self._told(job_id)
        elif job.status.is_final:
            raise StatusTransitionError(f"Job {job_id} is {job.status} and cannot be resumed.", job_id=job_id)
        return job

    # Plan

    def plan(
        self,
        job_id: str,
        *,
        on_chunks: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Scan the source and write its chunks, then let the job be processed. A repeat makes the same chunks.

        Args:
            on_chunks: called whenever there are chunks that may be sent (`chunks_to_send`).
            should_stop: asked after each block of the scan; True leaves the scan to whoever resumes the job.

        Raises:
            RowmillError: the source is not a table, has changed, or cannot be read; the job has
                been marked failed.
        """
        started = self._ledger.job(job_id)
        if (started.status, started.phase) not in ((Status.QUEUED, None), (Status.RUNNING, Phase.SCANNING)):
            return  # planned already
        if started.phase is Phase.SCANNING and not self._owner_is_gone(started):
            return  # a copy of the message
        if not self._ledger.move_job(
            job_id,
            expected=[(started.status, started.phase)],
            expected_owner=started.owner or "",
            status=Status.RUNNING,
            phase=Phase.SCANNING,
            owner=self._owner,
            started_at=started.started_at or self._now(),
        ):
            return  # by someone else at this moment
        with self._in_charge(job_id, Phase.SCANNING, given_back_as=Phase.SCANNING):
            self._scan(self._told(job_id), on_chunks, should_stop)

    def _scan(self, job: Job, on_chunks: Callable[[], None], should_stop: Callable[[], bool]) -> None:
        job_id = job.job_id
        resolve_handler(job.handler_path)
        options = ImportOptions.from_mapping(job.options)
        if not job.source.etag:
            self._ledger.save_source(job_id, pin_source(job.source.url, self._config))
            job = self._ledger.job(job_id)
        planner = TablePlanner(
            job.source,
            options,
            self._config,
            workspace=lambda: open_storage(job.workspace_url, self._config),
            job_id=job_id,
        )
        plan = planner.look().plan
        if not options.count_total_first:
            self._ledger.save_plan(job_id, plan)
        self._quietly(lambda: rebuild_progress(self._ledger, self._progress, job_id))
        for chunks in planner.chunks(plan):
            self._check_rows(job, chunks[-1].first_row_index + chunks[-1].row_count - 1)
            self._ledger.add_chunks(job_id, chunks)
            if not options.count_total_first:
                on_chunks()
            if self._ledger.job(job_id).cancel_requested:
                break
            if should_stop():
                raise _Stopped
        else:
            if options.count_total_first:
                self._ledger.save_plan(job_id, planner.settle_encoding(plan))
            total = planner.total_rows
            self._quietly(partial(self._progress.set_total, job_id, total))
            self._ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, Phase.SCANNING)],
                expected_owner=self._owner,
                status=Status.RUNNING,
                phase=Phase.PROCESSING,
                total_rows=total,
            )
            logger.info("job planned", extra={"job_id": job_id, "rows": total})
        if self._ledger.job(job_id).cancel_requested:
            self._begin_cancel(job_id, scan_has_ended=True)
        on_chunks()

    def _check_rows(self, job: Job, rows: int) -> None:
        limit = self._config.max_rows
        if limit is not None and rows > limit:
            raise SourceTooLargeError(
                f"{job.source.url} has more than the {limit:,} rows that are allowed. Split it and import the pieces.",
                source=job.source.url,
            )

    # Fan out

    def chunks_to_send(self, job_id: str, *, window: int | None = None) -> list[int]:
        """Take the chunks that may be sent now; each is given to one caller only."""
        job = self._ledger.job(job_id)
        may_send = job.phase is Phase.PROCESSING or (
            job.phase is Phase.SCANNING and job.plan is not None and not job.options["count_total_first"]
        )
        if job.status is not Status.RUNNING or not may_send or job.cancel_requested:
            return []
        return self._ledger.send_chunks(job_id, window=window or self._config.window)

    # Finish

    def is_ready_to_finish(self, job_id: str) -> bool:
        """Whether every chunk has an outcome and nothing but the merge is left."""
        job = self._ledger.job(job_id)
        return (job.status, job.phase) in _WORKING and self._ledger.unfinished_chunks(job_id) == 0

    def finish(self, job_id: str) -> bool:
        """Merge the parts and end the job, if all its chunks are through. Of several callers one does it.

        Returns:
            Whether this call ended the job.

        Raises:
            RowmillError: the merge failed; the job has been marked failed and can be resumed.
        """
        if not self.is_ready_to_finish(job_id):
            return False
        if not self._ledger.move_job(
            job_id, expected=_WORKING, status=Status.RUNNING, phase=Phase.MERGING, owner=self._owner
        ):
            return False
        with self._in_charge(job_id, Phase.MERGING, given_back_as=Phase.PROCESSING):
            return self._merge(self._told(job_id))
        return False

    def _merge(self, job: Job) -> bool:
        counts = self._checked_counts(job)
        files = self._make_result_files(job)
        job_id = job.job_id
        ended = self._ledger.move_job(
            job_id,
            expected=[(Status.RUNNING, Phase.MERGING)],
            expected_owner=self._owner,
            status=Status.CANCELLED if job.cancel_requested else Status.SUCCEEDED,
            phase=None,
            counts=counts,
            result_files=files,
            finished_at=self._now(),
        )
        if ended:
            self._told(job_id)
            self._sweep(job)
        return ended

    def _checked_counts(self, job: Job) -> Counts:
        """The recount from the ledger, which must give every planned row one outcome."""
        planned, counts = 0, Counts()
        for state in self._ledger.chunk_states(job.job_id):
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

    def _make_result_files(self, job: Job) -> ResultFiles:
        if not self._config.enable_result_files:
            return ResultFiles()
        success = self._make_result_file(job, "success")
        return ResultFiles(success_url=success, failed_url=self._make_result_file(job, "failed"))

    def _make_result_file(self, job: Job, kind: ResultKind) -> str:
        options = ImportOptions.from_mapping(job.options)
        output = open_storage(job.output_url, self._config)
        plan = job.plan
        header = header_cells(
            plan.header if plan else (), plan.column_count if plan else 0, kind, options.result_header
        )
        key = result_key(job, kind, options.output_format)
        make_result_file(
            output,
            key,
            output_format=options.output_format,
            header_cells=header,
            parts=self._parts(job, kind),
            escape_formulae=self._config.escape_formulae,
            temp_dir=self._config.temp_dir,
        )
        return output.url_of(key)

    def _parts(self, job: Job, kind: ResultKind) -> Iterator[Part]:
        """The committed parts in input order, their keys counted from the output's root."""
        below = job.workspace_url.removeprefix(job.output_url).strip("/")
        for state in self._ledger.chunk_states(job.job_id):
            if state.outcome is None:
                continue
            counts, part = state.outcome.counts, state.outcome.failed_part
            rows = counts.failure_count
            if kind == "success":
                part, rows = state.outcome.success_part, counts.success_count
            if part is None and rows:
                raise InconsistentJobError(
                    f"Chunk {state.chunk.chunk_index} of job {job.job_id} ran without result files, which are now "
                    "wanted. Resume the job without them, or import the source anew.",
                    job_id=job.job_id,
                    chunk_index=state.chunk.chunk_index,
                )
            if part is not None:
                yield Part(key=f"{below}/{part.key}", size_bytes=part.size_bytes)

    def _sweep(self, job: Job) -> None:
        """Remove parts and staged copies of a job that has ended; what remains costs room only."""
        try:
            workspace = open_storage(job.workspace_url, self._config)
            keys = [info.key for info in workspace.list(PartKeys.job_prefix(job.job_id))]
            workspace.delete([*keys, staged_key(job.job_id)])
        except StorageError:
            logger.warning("workspace not swept", extra={"job_id": job.job_id}, exc_info=True)

    # Cancel and fail

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job: running batches are the last ones. Repeating it is harmless.

        Raises:
            JobNotFoundError: there is no such job.
        """
        if self._ledger.request_cancel(job_id):
            self._quietly(lambda: self._progress.request_cancel(job_id))
            self._begin_cancel(job_id)
        return self._ledger.job(job_id)

    def _begin_cancel(self, job_id: str, *, scan_has_ended: bool = False) -> None:
        """Take what nobody has begun out of the work; ends a job that had not started.

        While a job is scanned, its scan alone moves it on: it sees the flag at its next block.
        """
        if self._ledger.move_job(
            job_id,
            expected=[(Status.QUEUED, None)],
            status=Status.CANCELLED,
            phase=None,
            finished_at=self._now(),
        ):
            self._told(job_id)
            return
        job = self._ledger.job(job_id)
        if job.status is not Status.RUNNING or job.phase is Phase.MERGING:
            return
        if job.phase is Phase.PROCESSING or (job.phase is Phase.SCANNING and scan_has_ended):
            self._ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, job.phase)],
                expected_owner=job.owner or "",
                status=Status.RUNNING,
                phase=Phase.CANCELLING,
            )
        self._ledger.drop_chunks(job_id)

    def fail(self, job_id: str, error: RowmillError, *, expected_owner: str | None = None) -> bool:
        """End a job because of an error that is not a row's. What was done is kept, so that it can be resumed.

        Args:
            expected_owner: who must be scanning or merging at present; None for anyone.

        Returns:
            Whether this call ended the job; False when it has ended already, or is another owner's.
        """
        failed = self._ledger.move_job(
            job_id,
            expected=[(Status.QUEUED, None), *((Status.RUNNING, phase) for phase in Phase)],
            expected_owner=expected_owner,
            status=Status.FAILED,
            phase=None,
            counts=self._ledger.counts(job_id),
            error_code=error.code,
            error_message=error.message.encode(errors="backslashreplace").decode(),
            finished_at=self._now(),
        )
        if failed:
            logger.error("job failed", extra={"job_id": job_id, "error_code": error.code})
            self._told(job_id)
        return failed

    # Recover

    def recover(self, job_id: str, executor: Executor) -> None:
        """Find what was lost in a running job and have it done again; safe at any time, anywhere."""
        job = self._ledger.job(job_id)
        config = self._config
        owner_is_gone = self._owner_is_gone(job)
        if job.cancel_requested and not job.status.is_final:
            self._begin_cancel(job_id, scan_has_ended=owner_is_gone)
            job = self._ledger.job(job_id)
        if job.status.is_final:
            return
        if job.status is Status.QUEUED or (job.phase is Phase.SCANNING and owner_is_gone):
            if job.status is Status.RUNNING or job.seconds_since_heartbeat > config.resend_after_seconds:
                executor.send_plan(job_id)
        elif job.phase is Phase.MERGING:
            if owner_is_gone and self._ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, Phase.MERGING)],
                expected_owner=job.owner,
                status=Status.RUNNING,
                phase=Phase.PROCESSING if not job.cancel_requested else Phase.CANCELLING,
            ):
                executor.send_finish(job_id)
            return
        lost = self._ledger.take_back(
            job_id, lease_seconds=config.lease_seconds, resend_after_seconds=self._resend_after_seconds(job)
        )
        if lost:
            logger.warning("chunks taken back", extra={"job_id": job_id, "chunks": len(lost)})
        if job.cancel_requested:
            self._ledger.drop_chunks(job_id)
        else:
            executor.send_chunks(job_id, [*lost, *self.chunks_to_send(job_id)])
        if self.is_ready_to_finish(job_id):
            executor.send_finish(job_id)
        self._quietly(lambda: self._restore_progress(job_id))

    def _restore_progress(self, job_id: str) -> None:
        if self._progress.snapshot(job_id) is None:
            rebuild_progress(self._ledger, self._progress, job_id)

    def _resend_after_seconds(self, job: Job) -> float:
        """How long a chunk may wait to be picked up: longer while the job's rows move, as it then waits its turn."""
        processed = self.counts(job).processed_rows
        before = self._processed_before.get(job.job_id, processed)
        self._processed_before[job.job_id] = processed
        while len(self._processed_before) > _REMEMBERED_JOBS:
            del self._processed_before[next(iter(self._processed_before))]
        return self._config.resend_after_seconds * (_PATIENCE if processed > before else 1)

    def _owner_is_gone(self, job: Job) -> bool:
        """Whether nobody scans or merges any more."""
        if job.owner is None or owners.is_dead(job.owner):
            return True
        return job.seconds_since_heartbeat > self._config.lease_seconds

    # Small things

    def counts(self, job: Job) -> Counts:
        """The job's counts this moment: final ones, live ones, or where these are missing the ledger's recount."""
        if job.status.is_final:
            return job.counts
        try:
            snapshot = self._progress.snapshot(job.job_id)
        except ServiceUnavailableError:
            snapshot = None
        return snapshot.counts if snapshot is not None else self._ledger.counts(job.job_id)

    def _told(self, job_id: str) -> Job:
        job = self._ledger.job(job_id)
        if self._listener is not None:
            self._listener.job_changed(job)
        return job

    def _quietly(self, action: Callable[[], None]) -> None:
        """Live counters are a convenience: without them the job goes on, and they are rebuilt later."""
        try:
            action()
        except ServiceUnavailableError:
            logger.warning("progress store away", exc_info=True)

    @contextmanager
    def _in_charge(self, job_id: str, phase: Phase, *, given_back_as: Phase) -> Iterator[None]:
        """While this process scans or merges: say so, mark the job failed on an error, give it back on an interrupt.

        An error counts for nothing when the job has ended meanwhile, or is another process's by now.

        Raises:
            RowmillError: the job has been marked failed with it.
        """
        try:
            with self._heartbeat(job_id):
                yield
        except Exception as error:
            if isinstance(error, _Stopped):
                self._give_back(job_id, phase, given_back_as)
                return
            told = error if isinstance(error, RowmillError) else _internal_error(error, str(phase), job_id)
            if self.fail(job_id, told, expected_owner=self._owner):
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
            self._ledger.move_job(
                job_id,
                expected=[(Status.RUNNING, phase)],
                expected_owner=self._owner,
                status=Status.RUNNING,
                phase=given_back_as,
            )

    @contextmanager
    def _heartbeat(self, job_id: str) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._config.heartbeat_interval_seconds):
                try:
                    self._ledger.job_heartbeat(job_id, self._owner)
                except LedgerError:
                    logger.warning("heartbeat failed", extra={"job_id": job_id}, exc_info=True)

        thread = threading.Thread(target=beat, name="rowmill-job-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Stopped(Exception):
    """The process is to end before the scan does."""


def _internal_error(error: Exception, doing: str, job_id: str) -> RowmillError:
    text = f"Internal error while {doing}: {type(error).__name__}: {error}"[:500]
    return RowmillError(text, job_id=job_id)


def result_key(job: Job, kind: ResultKind, output_format: str) -> str:
    """The name of a result file: that of the source, then `.success` or `.failed`."""
    name = PurePosixPath(job.source.url.rstrip("/")).name
    stem = name.rpartition(".")[0] or name
    return f"{stem}.{kind}.{output_format}"

"""The life of a job in one object: create, plan, fan out, finish, cancel, fail, recover, each in a room of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine import failpoints
from engine.config import EngineConfig
from engine.coordinator.cancelling import Cancelling
from engine.coordinator.desk import JobDesk
from engine.coordinator.drafts import ResultDrafts
from engine.coordinator.enlarging import Enlarging
from engine.coordinator.failing import Failing
from engine.coordinator.finishing import Finishing
from engine.coordinator.helping import MergeHelper
from engine.coordinator.planning import Planning
from engine.coordinator.protocols import Executor, JobListener
from engine.coordinator.recovery import Recovery
from engine.errors import RowmillError, StatusTransitionError
from engine.handlers import HandlerMode, resolve_handler
from engine.ledger import Ledger
from engine.model import Counts, ExecutorName, Job
from engine.options import ImportOptions
from engine.progress import ProgressStore, RowCosts
from engine.status import Phase, Status
from engine.storage import join_url, open_storage
from engine.table import pin_source
from engine.tracing import span

if TYPE_CHECKING:
    from engine.coordinator.bundling import Bundling

#: Folder below the output that holds parts and staged copies while a job runs.
WORKSPACE = ".rowmill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What is to be done after a chunk."""

    chunks: list[int]
    """To be sent; given to this caller only."""
    is_ready_to_finish: bool
    """Whether nothing but the merge is left."""


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
        costs: RowCosts | None = None,
        load_handler: Callable[[str], Any] = resolve_handler,
        is_loading: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            owner: the name of this process (`engine.ledger.owner.this_process`).
            listener: is told of every change of status.
            costs: what rows took in earlier jobs, for the size of chunks; None where nobody remembers.
            load_handler: raises HandlerError for a path that does not load; gives the handler unless the job's
                `handler_mode` says "batch".
            is_loading: whether `load_handler` would have to wait, so that the source of a batch handler's job can be
                scanned meanwhile.
        """
        self._desk = JobDesk(ledger, progress, config, owner=owner, listener=listener, now=now)
        self._cancelling = Cancelling(self._desk)
        self._failing = Failing(self._desk)
        self._load_handler = load_handler
        self._is_loading = is_loading
        self._planning = Planning(self._desk, self._cancelling, self._failing, costs, load_handler)
        self._enlarging = Enlarging(self._desk, costs)
        self._finishing = Finishing(self._desk)
        self._recovery = Recovery(self._desk, self._cancelling, self._failing, self._finishing, self.chunks_to_send)
        self._helper = MergeHelper(ledger, config)
        self._bundling: Bundling | None = None

    def create(
        self,
        source_url: str,
        handler_path: str,
        options: ImportOptions,
        output_url: str,
        *,
        handler_mode: HandlerMode = "row",
        job_id: str | None = None,
        retry_of: str | None = None,
        executor: ExecutorName = "celery",
        admit: Callable[[], Callable[[], None]] = lambda: lambda: None,
    ) -> Job:
        """Check everything that can be checked at once, and write a queued job.

        Args:
            handler_mode: "batch" for a batch handler that does not declare itself one.
            retry_of: the job whose refused rows the source holds.
            executor: who is to run it.
            admit: called when nothing else is wrong; raises where the job is not to begin. What it gives is called
                once more in the transaction that writes the job.

        Raises:
            SourceError: the source is missing, or a folder.
            HandlerError: the handler does not load.
            OutputNotWritableError: the result files could not be written.
        """
        source = pin_source(source_url, self._desk.config)
        if handler_mode == "batch" and self._is_loading():
            self._planning.begin(source, handler_path, options, go_on=self._is_loading)
        try:
            self._load_handler(handler_path)
            output = open_storage(output_url, self._desk.config, fail_fast=True)
            output.check_writable()
            job = Job(
                job_id=job_id or str(uuid.uuid4()),
                source=source,
                handler_path=handler_path,
                handler_mode=handler_mode,
                options=options.for_handler(),
                output_url=output.url,
                workspace_url=join_url(output.url, WORKSPACE),
                created_at=self._desk.now(),
                retry_of=retry_of,
                executor=executor,
            )
            self._desk.ledger.create_job(job, check=admit())
        except BaseException:
            self._planning.forget()
            raise
        return job

    def resume(self, job_id: str) -> Job:
        """Make a failed job run again where it stopped, and a paused one go on; others stay as they are.

        A failed job gets its error budget anew.

        Raises:
            StatusTransitionError: the job has succeeded or was cancelled.
        """
        job = self._desk.ledger.job(job_id)
        if job.status is Status.FAILED:
            phase = Phase.PROCESSING if job.total_rows is not None else None
            # Without a complete plan it starts over; the chunks that are there are kept.
            status = Status.RUNNING
            self._desk.ledger.restore_chunks(job_id)
            self._desk.ledger.move_job(
                job_id,
                expected=[(Status.FAILED, None)],
                status=status,
                phase=phase or Phase.SCANNING,
                error_code=None,
                error_message=None,
                finished_at=None,
                forgiven=job.counts,
            )
            self._desk.ledger.set_paused(job_id, False)
            job = self._desk.told(job_id)
        elif job.status.is_final:
            raise StatusTransitionError(f"Job {job_id} is {job.status} and cannot be resumed.", job_id=job_id)
        elif job.paused:
            self._desk.ledger.set_paused(job_id, False)
            job = self._desk.told(job_id)
        return job

    def pause(self, job_id: str) -> Job:
        """Have no further chunk of a job begin until it is resumed; repeating it is harmless.

        Running chunks end, and so does a scan.

        Raises:
            StatusTransitionError: the job has ended.
        """
        if not self._desk.ledger.set_paused(job_id, True):
            job = self._desk.ledger.job(job_id)
            raise StatusTransitionError(f"Job {job_id} is {job.status} and cannot be paused.", job_id=job_id)
        return self._desk.told(job_id)

    def plan(
        self,
        job_id: str,
        *,
        on_chunks: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """See `Planning.plan`."""
        with span("rowmill.plan", job_id=job_id):
            return self._planning.plan(job_id, on_chunks=on_chunks, should_stop=should_stop)

    def chunks_to_send(self, job_id: str, *, window: int | None = None) -> list[int]:
        """Take the chunks that may be sent now; each is given to one caller only."""
        return self._chunks_to_send(self._desk.ledger.job(job_id), window)

    def after_chunk(self, job_id: str) -> Following:
        """What a chunk's end brings about, by one look at the job; fails it first where its error budget is spent.

        Of the processes that end chunks at the same time at least one is told to finish: the one that looks last.
        """
        job = self._desk.ledger.job(job_id)
        if self._failing.check_budget_of(job):
            job = self._desk.ledger.job(job_id)
        self._enlarging.enlarge(job)
        chunks = self._chunks_to_send(job, None)
        return Following(chunks=chunks, is_ready_to_finish=not chunks and self._finishing.is_ready(job))

    def _chunks_to_send(self, job: Job, window: int | None) -> list[int]:
        is_planned = job.phase is Phase.PROCESSING or (
            job.phase is Phase.SCANNING and job.plan is not None and not job.options["count_total_first"]
        )
        if not job.takes_work or not is_planned:
            return []
        found = self._desk.ledger.send_chunks(job.job_id, window=window or self._desk.config.window)
        failpoints.hit("chunks.marked_sent")
        return found

    def enlarge(self, job_id: str) -> None:
        """See `Enlarging.enlarge`; nothing where nobody knows what rows cost."""
        if self._enlarging.is_possible:
            self._enlarging.enlarge(self._desk.ledger.job(job_id))

    def abandoned_chunk(self, job_id: str) -> int | None:
        """See `Ledger.abandoned_chunk`."""
        return self._desk.ledger.abandoned_chunk(job_id)

    def rows_of(self, job_id: str) -> int:
        """How many rows a planned job has; 0 where its scan came to no end."""
        return self._desk.ledger.job(job_id).total_rows or 0

    def is_ready_to_finish(self, job_id: str) -> bool:
        """See `Finishing.is_ready_to_finish`."""
        return self._finishing.is_ready_to_finish(job_id)

    def finish(self, job_id: str, executor: Executor | None = None, drafts: ResultDrafts | None = None) -> bool:
        """See `Finishing.finish`."""
        with span("rowmill.finish", job_id=job_id):
            return self._finishing.finish(job_id, executor, drafts)

    def bundle(self, job_id: str, chunk_index: int) -> None:
        """See `Bundling.bundle`."""
        if self._bundling is None:
            # Only where parts are on S3; others need not load it.
            from engine.coordinator.bundling import Bundling

            self._bundling = Bundling(self._desk.ledger, self._desk.config)
        self._bundling.bundle(job_id, chunk_index)

    def help_merge(self, job_id: str, position: int, step: int) -> int | None:
        """See `MergeHelper.help`."""
        return self._helper.help(job_id, position, step)

    def cancel(self, job_id: str) -> Job:
        """See `Cancelling.cancel`."""
        return self._cancelling.cancel(job_id)

    def fail(self, job_id: str, error: RowmillError, *, expected_owner: str | None = None) -> bool:
        """See `Failing.fail`."""
        return self._failing.fail(job_id, error, expected_owner=expected_owner)

    def check_budget(self, job_id: str) -> bool:
        """See `Failing.check_budget`."""
        return self._failing.check_budget(job_id)

    def recover(self, job_id: str, executor: Executor) -> None:
        """See `Recovery.recover`."""
        self._recovery.recover(job_id, executor)

    def counts(self, job: Job) -> Counts:
        """See `JobDesk.counts`."""
        return self._desk.counts(job)

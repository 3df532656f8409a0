"""One chunk from claim to commit: the same code under every executor.

The order is the commit protocol: claim with a fresh token, run the rows inside the ledger's work,
store the parts, commit once, move the live counters. A process that dies anywhere in it leaves a
lease that is taken back, and parts that nobody names.
"""

from __future__ import annotations

import gc
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from engine import failpoints
from engine.config import EngineConfig
from engine.errors import HandlerError, InconsistentJobError, LeaseLostError, LedgerError, WorkerLostError
from engine.failure_messages import FailureMessages
from engine.handlers import (
    BatchAdapter,
    HandlerMode,
    RowAdapter,
    RowFailure,
    frame_columns,
    is_atomic,
    mode_of,
    resolve_handler,
    use_one_polars_thread,
)
from engine.ledger import ChunkWork, Ledger
from engine.model import ChunkOutcome, Claim, Counts, Job, Plan
from engine.options import ImportOptions
from engine.progress import ProgressStore, Ticker
from engine.readers import BrokenRow, Row, RowSlice, TextFrame, sliced
from engine.results import (
    PartKeys,
    PartWriter,
    accepted_lines,
    escape_row,
    extra_lines,
    format_record,
    frame_lines,
    frame_records,
    quote_cell,
    result_json,
    success_lines,
)
from engine.storage import Storage, open_location, open_storage
from engine.table import load_frames, read_chunk, read_chunk_frame, read_chunk_slices
from engine.tracing import span

logger = logging.getLogger(__name__)

#: After this many deaths on a chunk its rows are watched one by one, to find the one that kills.
WATCH_AFTER_DEATHS = 2
#: Deaths beyond those that guilty rows explain, after which the chunk is given up.
MAX_UNEXPLAINED_DEATHS = 20
#: Jobs whose handler and storages a process keeps at hand.
_KEPT_JOBS = 8
#: Objects by which allocations must outrun deallocations before the garbage collector looks at the
#: youngest. Python's own 700 makes it walk every slice of rows: a quarter of the time in row mode.
_GC_THRESHOLD = 100_000


class Ran(Enum):
    """What became of an order to run a chunk."""

    DONE = "done"
    """Committed by this call."""
    NOTHING_TO_DO = "nothing_to_do"
    """Done before, leased by another process, or the job takes no more work: a copy of a message."""
    LOST = "lost"
    """Another attempt took the chunk over meanwhile; nothing of this one is kept."""
    STOPPED = "stopped"
    """Given back because this process is to end."""


@dataclass(frozen=True, slots=True)
class _JobAtHand:
    job: Job
    plan: Plan
    options: ImportOptions
    handler: Any
    mode: HandlerMode
    source: Storage
    source_key: str
    workspace: Storage


class ChunkRunner:
    """Runs chunks of any job of one ledger in this process."""

    def __init__(
        self,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        *,
        owner: str,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            owner: the name of this process (`engine.ledger.owner.this_process`).
            should_stop: asked after each batch; True makes the runner give the chunk back.
        """
        self._ledger = ledger
        self._progress = progress
        self._config = config
        self._owner = owner
        self._should_stop = should_stop
        self._jobs: OrderedDict[str, _JobAtHand] = OrderedDict()

    def run(self, job_id: str, chunk_index: int) -> Ran:
        """Run a chunk and commit it, exactly once however often and wherever this is called.

        Raises:
            RowmillError: something other than a row is wrong, and would be wrong again (the source
                changed, the storage is away). The chunk has been given back.
        """
        with span("rowmill.chunk", job_id=job_id, chunk_index=chunk_index):
            return self._run(job_id, chunk_index)

    def _run(self, job_id: str, chunk_index: int) -> Ran:
        claim = self._ledger.claim(job_id, chunk_index, owner=self._owner, token=secrets.token_hex(8))
        if claim is None:
            return Ran.NOTHING_TO_DO
        facts = {"job_id": job_id, "chunk_index": chunk_index, "attempt": claim.attempt}
        if claim.deaths > MAX_UNEXPLAINED_DEATHS + 2 * len(claim.guilty_rows):
            # Forgotten, so that the job gets as many tries again when it is resumed.
            self._ledger.release(claim, forget_deaths=True)
            raise WorkerLostError(
                f"{claim.deaths} processes died on chunk {chunk_index} (rows {claim.chunk.first_row_index:,} to "
                f"{claim.chunk.first_row_index + claim.chunk.row_count - 1:,}), and no single row is to blame. "
                "Look for a lack of memory, then resume the job.",
                job_id=job_id,
                chunk_index=chunk_index,
            )
        try:
            failpoints.hit("chunk.claimed")
            with _Heartbeat(self._ledger, claim, self._config.heartbeat_interval_seconds) as beat, _relaxed_collector():
                at_hand = self._at_hand(job_id)
                attempt = _Attempt(at_hand, claim, self._ledger, self._progress, self._config, self._should_stop, beat)
                outcome = attempt.run()
        except LeaseLostError:
            logger.warning("chunk lease lost", extra=facts)
            return Ran.LOST
        except _Stopped:
            self._release(claim)
            return Ran.STOPPED
        except BaseException:
            self._release(claim)
            raise
        logger.info("chunk done", extra={**facts, "rows": outcome.counts.processed_rows})
        return Ran.DONE

    def load_libraries(self, job_id: str) -> None:
        """Load ahead of time what chunks of the job will need, apart from the handler."""
        if self._ledger.job(job_id).handler_mode == "batch":
            use_one_polars_thread()
            load_frames()

    def load_handler(self, job_id: str) -> None:
        """Load the handler ahead of time; what fails here is told when a chunk is run."""
        with suppress(HandlerError):
            resolve_handler(self._ledger.job(job_id).handler_path)

    def _at_hand(self, job_id: str) -> _JobAtHand:
        found = self._jobs.get(job_id)
        if found is None:
            job = self._ledger.job(job_id)
            if job.plan is None:
                raise InconsistentJobError(f"Job {job_id} has chunks but no plan.", job_id=job_id)
            source, source_key = open_location(job.plan.readable.url, self._config)
            handler: Any = resolve_handler(job.handler_path)
            found = _JobAtHand(
                job=job,
                plan=job.plan,
                options=ImportOptions.from_mapping(job.options),
                handler=handler,
                mode="batch" if job.handler_mode == "batch" else mode_of(handler),
                source=source,
                source_key=source_key,
                workspace=open_storage(job.workspace_url, self._config),
            )
            self._jobs[job_id] = found
        self._jobs.move_to_end(job_id)
        if len(self._jobs) > _KEPT_JOBS:
            self._jobs.popitem(last=False)
        return found

    def _release(self, claim: Claim) -> None:
        try:
            self._ledger.release(claim)
        except LedgerError:  # the lease runs out by itself; the first error is the one to tell
            logger.warning("chunk not released", extra={"job_id": claim.job_id}, exc_info=True)


def rebuild_progress(ledger: Ledger, progress: ProgressStore, job_id: str, *, only_if_missing: bool = True) -> None:
    """Make live counters from the ledger's committed chunks; running chunks add themselves again."""
    job, done = ledger.job(job_id), ledger.counts_by_chunk(job_id)
    progress.begin(job_id, total_rows=job.total_rows, done=done, only_if_missing=only_if_missing)
    if job.cancel_requested:
        progress.request_cancel(job_id)


class _Attempt:
    """The work of one attempt: rows in, parts out."""

    def __init__(
        self,
        at_hand: _JobAtHand,
        claim: Claim,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        should_stop: Callable[[], bool],
        heartbeat: _Heartbeat,
    ) -> None:
        self._heartbeat = heartbeat
        self._at_hand = at_hand
        self._claim = claim
        self._ledger = ledger
        self._config = config
        self._should_stop = should_stop
        self._is_watched = claim.deaths >= WATCH_AFTER_DEATHS
        self._guilty = frozenset(claim.guilty_rows)
        self._escape = config.escape_formulae and at_hand.options.output_format == "csv"
        self._success_count = 0
        self._failure_count = 0
        self._messages = FailureMessages()
        self._progress = progress

    def run(self) -> ChunkOutcome:
        """Run the rows and commit.

        Raises:
            _Stopped: the process is to stop; nothing is committed.
            LeaseLostError: another attempt has the chunk by now; nothing is committed.
        """
        claim, at_hand = self._claim, self._at_hand
        keys = PartKeys.of_claim(claim)
        frame = self._frame()
        with self._new_ticker() as ticker:
            with (
                self._ledger.work(claim, atomic=is_atomic(at_hand.handler)) as work,
                PartWriter(at_hand.workspace, keys.key("success")) as success,
                PartWriter(at_hand.workspace, keys.key("failed")) as failed,
            ):
                failpoints.hit("chunk.begun")
                if frame is not None:
                    self._run_frame(frame, work, success, failed, ticker)
                else:
                    self._run_rows(self._slices(), work, success, failed, ticker)
                if self._is_watched:
                    self._ledger.watch_row(claim, None)
                outcome = ChunkOutcome(
                    counts=self._counts(),
                    success_part=success.finish(),
                    failed_part=failed.finish(),
                    messages=self._messages.counts(),
                )
                work.commit(outcome)
                failpoints.hit("chunk.marked")
            failpoints.hit("chunk.committed")
            ticker.done(outcome.counts)
        failpoints.hit("chunk.counted")
        return outcome

    def _frame(self) -> TextFrame | None:
        """The chunk as a frame for a batch handler; None where its rows have to be looked at one by one."""
        at_hand = self._at_hand
        if at_hand.mode == "row" or self._is_watched or self._guilty or self._escape:
            return None
        use_one_polars_thread()
        names = frame_columns(at_hand.plan.header, at_hand.plan.column_count)
        where = (at_hand.source, at_hand.source_key, at_hand.plan, self._claim.chunk, self._config)
        return read_chunk_frame(*where, names=names)

    def _slices(self) -> Iterator[RowSlice]:
        """The chunk's rows, by as many as run before the next look at progress and cancel."""
        at_hand = self._at_hand
        where = (at_hand.source, at_hand.source_key, at_hand.plan, self._claim.chunk, self._config)
        size = 1 if self._is_watched else at_hand.options.batch_size
        # A batch handler gets exactly that many at a time; for a row handler fewer are as good.
        return read_chunk_slices(*where, max_rows=size) if at_hand.mode == "row" else sliced(read_chunk(*where), size)

    def _new_ticker(self) -> Ticker:
        ledger, progress, claim = self._ledger, self._progress, self._claim
        return Ticker(
            progress,
            claim.job_id,
            claim.chunk.chunk_index,
            claim.attempt,
            interval_seconds=self._config.progress_interval_seconds,
            rebuild=lambda: rebuild_progress(ledger, progress, claim.job_id),
        )

    def _run_rows(
        self, slices: Iterator[RowSlice], work: ChunkWork, success: PartWriter, failed: PartWriter, ticker: Ticker
    ) -> None:
        """Run every row, or as many as a cancel leaves. Raises as `run` does."""
        claim = self._claim
        adapter = self._row_adapter(work) if self._at_hand.mode == "row" else self._batch_adapter(work)
        row_index = claim.chunk.first_row_index
        for piece in slices:
            if self._is_watched:
                self._ledger.watch_row(claim, row_index)
            self._run_slice(adapter, row_index, piece, success, failed)
            row_index += len(piece.rows)
            if self._is_cancelled(row_index, ticker):
                return
        self._check_end(row_index)

    def _run_frame(
        self, chunk: TextFrame, work: ChunkWork, success: PartWriter, failed: PartWriter, ticker: Ticker
    ) -> None:
        """As `_run_rows`, with no Python object per row."""
        adapter = self._batch_adapter(work)
        size, row_index = self._at_hand.options.batch_size, self._claim.chunk.first_row_index
        for start in range(0, chunk.frame.height, size):
            batch = chunk.frame[start : start + size]
            end = start
            for outcome in adapter.run_frame(row_index, batch):
                begin, end = end, end + len(outcome.errors)
                accepted = outcome.errors.null_count()
                self._success_count += accepted
                self._failure_count += end - begin - accepted
                if self._config.enable_result_files:
                    known = chunk.records
                    records = known[begin:end] if known is not None else frame_records(chunk.frame[begin:end])
                    is_accepted = outcome.errors.is_null()
                    success.add_bytes(accepted_lines(records, outcome.results, is_accepted))
                    failed.add_bytes(frame_lines(records.filter(~is_accepted), outcome.errors.drop_nulls()))
            row_index += batch.height
            if self._is_cancelled(row_index, ticker):
                return
        self._check_end(row_index)

    def _is_cancelled(self, row_index: int, ticker: Ticker) -> bool:
        """Behind a batch: whether it is the last one because of a cancel.

        Args:
            row_index: of the next row.
        """
        failpoints.hit("chunk.batch")
        claim = self._claim
        if ticker.tick(self._counts()) and self._ledger.job(claim.job_id).cancel_requested:
            return True
        if row_index < claim.chunk.first_row_index + claim.chunk.row_count:
            self._heartbeat.check()
            if self._should_stop():
                raise _Stopped
        return False

    def _check_end(self, row_index: int) -> None:
        claim = self._claim
        rows = row_index - claim.chunk.first_row_index
        if rows != claim.chunk.row_count:
            raise InconsistentJobError(
                f"Chunk {claim.chunk.chunk_index} has {rows:,} rows where "
                f"{claim.chunk.row_count:,} were planned. This is a defect of the engine; please report the file.",
                job_id=claim.job_id,
                chunk_index=claim.chunk.chunk_index,
            )

    def _row_adapter(self, work: ChunkWork) -> RowAdapter:
        at_hand = self._at_hand
        return RowAdapter(at_hand.handler, self._claim.job_id, at_hand.options.for_handler(), guard=work.row_guard)

    def _batch_adapter(self, work: ChunkWork) -> BatchAdapter:
        at_hand = self._at_hand
        return BatchAdapter(
            at_hand.handler,
            self._claim.job_id,
            at_hand.options.for_handler(),
            column_names=frame_columns(at_hand.plan.header, at_hand.plan.column_count),
            guard=work.row_guard,
        )

    def _run_slice(
        self,
        adapter: RowAdapter | BatchAdapter,
        first_row_index: int,
        piece: RowSlice,
        success: PartWriter,
        failed: PartWriter,
    ) -> None:
        """Run some rows and write their lines. Records are formed before the handler, which may change the rows."""
        has_files = self._config.enable_result_files
        # A row without cells has no comma in its line.
        has_blank = has_files and not all(piece.rows)
        records = self._records(piece) if has_files else []
        outcomes = self._outcomes(adapter, first_row_index, piece.rows)
        refused = [position for position, outcome in enumerate(outcomes) if outcome.__class__ is RowFailure]
        self._success_count += len(outcomes) - len(refused)
        self._failure_count += len(refused)
        messages = [outcomes[position].message for position in refused]
        self._messages.add(messages)
        if not has_files:
            return
        refused_records = [records[position] for position in refused]
        if self._escape:
            messages = escape_row(messages)
        for position in reversed(refused):
            del records[position], outcomes[position]
        if not has_blank:
            success.add_text(success_lines(records, outcomes))
            failed.add_text(extra_lines(refused_records, messages))
        else:
            success.add_lines(
                [start + quote_cell(result_json(out)) for start, out in zip(records, outcomes, strict=True)]
            )
            lines = [start + quote_cell(text) for start, text in zip(refused_records, messages, strict=True)]
            failed.add_lines([line or '""' for line in lines])

    def _records(self, piece: RowSlice) -> list[str]:
        """What each row's line begins with, up to the comma of the extra cell; with it where a row has no cells."""
        rows: list[list[str]] = piece.rows  # type: ignore[assignment]
        if piece.records is not None and not self._escape:
            records = piece.records
            for position in piece.odd:
                records[position] = format_record(rows[position])
        else:
            if BrokenRow in set(map(type, rows)):
                rows = [row.cells if isinstance(row, BrokenRow) else row for row in piece.rows]
            if self._escape:
                rows = [escape_row(row) for row in rows]
            records = list(map(format_record, rows))
        if all(rows):
            return records
        return [record + "," if row else "" for record, row in zip(records, rows, strict=True)]

    def _outcomes(self, adapter: RowAdapter | BatchAdapter, first_row_index: int, batch: list[Row]) -> list[Any]:
        """One outcome per row: rows that are broken, or that kill their process, do not reach the handler."""
        if not self._guilty and BrokenRow not in set(map(type, batch)):
            return adapter.run(first_row_index, batch)  # type: ignore[arg-type]
        outcomes: list[Any] = []
        waiting: list[list[str]] = []
        for row_index, row in enumerate(batch, first_row_index):
            if isinstance(row, BrokenRow):
                failure = RowFailure(row.error)
            elif row_index in self._guilty:
                failure = RowFailure("The process died twice while the handler ran this row; it was not run again.")
            else:
                waiting.append(row)
                continue
            outcomes.extend(adapter.run(first_row_index + len(outcomes), waiting))
            outcomes.append(failure)
            waiting = []
        outcomes.extend(adapter.run(first_row_index + len(outcomes), waiting))
        return outcomes

    def _counts(self) -> Counts:
        return Counts(success_count=self._success_count, failure_count=self._failure_count)


class _Stopped(Exception):
    """The process is to end before the chunk does."""


class _Heartbeat:
    """Keeps a lease alive from a thread of its own while the rows run."""

    def __init__(self, ledger: Ledger, claim: Claim, interval_seconds: float) -> None:
        self._ledger = ledger
        self._claim = claim
        self._interval_seconds = interval_seconds
        self._is_lost = False
        self._beaten_at = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="rowmill-heartbeat", daemon=True)

    def check(self) -> None:
        """Raise LeaseLostError once the lease is known to be gone: rows run from then on would be run twice."""
        if time.time() - self._beaten_at > 2 * self._interval_seconds:
            # This process was stopped, or has been too busy for its heartbeat: another may have taken over.
            self._beat()
        if self._is_lost:
            raise LeaseLostError(
                f"Attempt {self._claim.attempt} of chunk {self._claim.chunk.chunk_index} of job {self._claim.job_id} "
                "lost its lease.",
                job_id=self._claim.job_id,
                chunk_index=self._claim.chunk.chunk_index,
                attempt=self._claim.attempt,
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_beating(self) -> None:
        while not self._is_lost and not self._ended.wait(self._interval_seconds):
            self._beat()

    def _beat(self) -> None:
        try:
            self._is_lost = not self._ledger.heartbeat(self._claim)
            self._beaten_at = time.time()
        except LedgerError:  # the next beat may get through, and the commit tells in the end
            logger.warning("heartbeat failed", extra={"job_id": self._claim.job_id}, exc_info=True)


@contextmanager
def _relaxed_collector() -> Iterator[None]:
    """Keep the garbage collector from walking the rows in hand; what it was set to comes back."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _GC_THRESHOLD) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)

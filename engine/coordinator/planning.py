"""A queued job's first step: its source is scanned, its chunks are written."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from engine import failpoints
from engine.chunk_runner import rebuild_progress
from engine.chunk_sizes import ChunkSizes, fitting_sizes
from engine.config import EngineConfig
from engine.coordinator.cancelling import Cancelling
from engine.coordinator.desk import JobDesk, Stopped
from engine.coordinator.failing import Failing
from engine.coordinator.refused_rows import write_refused_rows
from engine.errors import LedgerUnavailableError, RowmillError, ServiceUnavailableError
from engine.handlers import HandlerMode, mode_of
from engine.model import Chunk, Job, Plan, Source
from engine.options import ImportOptions
from engine.progress import RowCosts
from engine.status import Phase, Status
from engine.storage import open_location, open_storage
from engine.table import HeadStart, TablePlanner, pin_source

logger = logging.getLogger(__name__)

#: Chunks written at once where none of them may run before the last is found: each time costs a transaction.
_CHUNKS_AT_ONCE = 500
#: Between two looks, while the source is staged and scanned, whether it is still wanted.
_LOOK_SECONDS = 0.5


class Planning:
    """Scans sources."""

    def __init__(
        self,
        desk: JobDesk,
        cancelling: Cancelling,
        failing: Failing,
        costs: RowCosts | None,
        load_handler: Callable[[str], Any],
    ) -> None:
        """
        Args:
            costs: what rows took in earlier jobs; None where nobody remembers.
            load_handler: see `Coordinator`.
        """
        self._load_handler = load_handler
        self._desk = desk
        self._costs = costs
        self._cancelling = cancelling
        self._failing = failing
        self._head_start: tuple[Source, ImportOptions, EngineConfig, HeadStart] | None = None

    def begin(self, source: Source, handler_path: str, options: ImportOptions, *, go_on: Callable[[], bool]) -> None:
        """Scan the source of a batch handler's job that is about to be created, as long as its creator has to wait.

        Nothing is written, and no trouble told: the job's own scan goes on from there, or does it anew.
        """
        sizes = self._asked_sizes(options) or self._fitting_sizes(handler_path, "batch", source)
        options, config = _with_chunk_size(options, self._desk.config, sizes)
        start = HeadStart.of(source, options, config, go_on=go_on)
        self._head_start = (source, options, config, start) if start is not None else None

    def forget(self) -> None:
        """Leave what `begin` did, as the job is not created."""
        if self._head_start is not None:
            self._head_start[-1].close()
            self._head_start = None

    def plan(
        self,
        job_id: str,
        *,
        on_chunks: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Scan the source and write its chunks, then let the job be processed. A repeat makes the same chunks.

        Args:
            on_chunks: called whenever there are chunks that may be sent (`chunks_to_send`).
            should_stop: asked after each block of the scan; True leaves the scan to whoever resumes the job.

        Returns:
            Whether this call did anything: False when the job is planned already, or by another process now.

        Raises:
            RowmillError: the source is not a table, has changed, or cannot be read; the job has
                been marked failed, or fails as soon as running chunks have ended.
        """
        started = self._desk.ledger.job(job_id)
        if (started.status, started.phase) not in ((Status.QUEUED, None), (Status.RUNNING, Phase.SCANNING)):
            return False  # planned already
        if started.phase is Phase.SCANNING and not self._desk.owner_is_gone(started):
            return False  # a copy of the message
        if not self._desk.ledger.move_job(
            job_id,
            expected=[(started.status, started.phase)],
            expected_owner=started.owner or "",
            status=Status.RUNNING,
            phase=Phase.SCANNING,
            owner=self._desk.owner,
            started_at=started.started_at or self._desk.now(),
        ):
            return False  # by someone else at this moment

        def fail(error: RowmillError) -> bool:
            return self._failing.fail(job_id, error, expected_owner=self._desk.owner)

        with self._desk.in_charge(job_id, Phase.SCANNING, given_back_as=Phase.SCANNING, fail=fail):
            self._scan(self._desk.told(job_id), on_chunks, should_stop)
        return True

    def _scan(self, job: Job, on_chunks: Callable[[], None], should_stop: Callable[[], bool]) -> None:
        job_id = job.job_id
        with suppress(_Unwanted):  # what was not processed is the source itself
            self._read(job, on_chunks, should_stop)
        job = self._desk.ledger.job(job_id)
        if job.cancel_requested:
            self._cancelling.begin(job_id, scan_has_ended=True)
        elif job.error_code:
            self._failing.begin(job_id, scan_has_ended=True)
        on_chunks()

    def _read(self, job: Job, on_chunks: Callable[[], None], should_stop: Callable[[], bool]) -> None:
        """Stage and scan the whole source.

        Raises:
            _Unwanted: its rows are not wanted any more, and none of them has been run.
            Stopped: this process is to end, or another one has taken the scan over.
        """
        job_id = job.job_id

        owner = self._desk.owner

        def look_up() -> None:
            known = self._desk.ledger.job(job_id)
            _check(known.phase is Phase.SCANNING and known.owner == owner)
            if (known.cancel_requested or known.error_code) and not self._desk.ledger.begun_chunks(job_id):
                raise _Unwanted
            if should_stop():
                raise Stopped

        failpoints.hit("plan.begun")
        handler = self._load_handler(job.handler_path)
        options = ImportOptions.from_mapping(job.options)
        if not job.source.etag:
            if job.retry_of is not None:
                self._write_source_of_retry(job)
            source = pin_source(job.source.url, self._desk.config, fail_fast=False)
            _check(self._desk.ledger.save_source(job_id, source, scanner=owner))
            job = self._desk.ledger.job(job_id)
        mode: HandlerMode = "batch" if job.handler_mode == "batch" else mode_of(handler)
        sizes = self._chosen_sizes(job, options, mode)
        options, config = _with_chunk_size(options, self._desk.config, sizes)
        planner = self._planner(job, options, config, checkpoint=_now_and_then(look_up))
        plan = _with_sizes(planner.look().plan, sizes)
        # Before the first chunk: a scan that is done again, by a process of other settings, must cut as this one did.
        _check(self._desk.ledger.save_plan(job_id, plan, scanner=owner))
        self._desk.quietly(lambda: rebuild_progress(self._desk.ledger, self._desk.progress, job_id))
        found = self._within_limit(planner.chunks(plan), job.source.url)
        for chunks in _gathered(found) if options.count_total_first else found:
            _check(self._desk.ledger.add_chunks(job_id, chunks, scanner=owner))
            failpoints.hit("plan.chunks_added")
            if not options.count_total_first:
                on_chunks()
            look_up()
        if options.count_total_first:
            plan = _with_sizes(planner.settle_encoding(plan), sizes)
            _check(self._desk.ledger.save_plan(job_id, plan, scanner=owner))
        total = planner.total_rows
        self._desk.quietly(partial(self._desk.progress.set_total, job_id, total))
        self._desk.ledger.move_job(
            job_id,
            expected=[(Status.RUNNING, Phase.SCANNING)],
            expected_owner=self._desk.owner,
            status=Status.RUNNING,
            phase=Phase.PROCESSING,
            total_rows=total,
        )
        logger.info("job planned", extra={"job_id": job_id, "rows": total})
        failpoints.hit("plan.ended")

    def _planner(
        self, job: Job, options: ImportOptions, config: EngineConfig, *, checkpoint: Callable[[], None]
    ) -> TablePlanner | HeadStart:
        begun, self._head_start = self._head_start, None
        if begun is not None:
            *known, start = begun
            if known == [job.source, options, config]:
                return start.taken_over(checkpoint)
            start.close()
        return TablePlanner(
            job.source,
            options,
            config,
            workspace=lambda: open_storage(job.workspace_url, self._desk.config),
            job_id=job.job_id,
            checkpoint=checkpoint,
        )

    def _within_limit(self, found: Iterable[list[Chunk]], source_url: str) -> Iterator[list[Chunk]]:
        for chunks in found:
            self._desk.config.check_rows(chunks[-1].first_row_index + chunks[-1].row_count - 1, source_url)
            yield chunks

    def _write_source_of_retry(self, job: Job) -> None:
        """Copy the refused rows, for a retry that was made without; a repeat writes the same."""
        assert job.retry_of is not None
        first = self._desk.ledger.job(job.retry_of)
        target, key = open_location(job.source.url, self._desk.config)
        write_refused_rows(first, self._desk.ledger, self._desk.config, target, key)

    def _chosen_sizes(self, job: Job, options: ImportOptions, mode: HandlerMode) -> ChunkSizes:
        """What an earlier scan of the job chose, or what was asked for, or what fits its handler."""
        plan = job.plan
        if plan is not None and plan.chunk_rows and plan.chunk_bytes:
            return ChunkSizes(rows=plan.chunk_rows, max_bytes=plan.chunk_bytes, guessed=plan.sizes_guessed)
        return self._asked_sizes(options) or self._fitting_sizes(job.handler_path, mode, job.source)

    def _asked_sizes(self, options: ImportOptions) -> ChunkSizes | None:
        if options.chunk_size is None:
            return None
        return ChunkSizes(rows=options.chunk_size, max_bytes=self._desk.config.max_chunk_bytes)

    def _fitting_sizes(self, handler_path: str, mode: HandlerMode, source: Source) -> ChunkSizes:
        seconds_per_row = None
        if self._costs is not None:
            try:
                seconds_per_row = self._costs.seconds_per_row(handler_path)
            except ServiceUnavailableError:
                logger.warning("costs of rows not known", exc_info=True)
        return fitting_sizes(
            mode,
            seconds_per_row,
            source_bytes=source.size_bytes,
            max_chunk_bytes=self._desk.config.max_chunk_bytes,
        )


class _Unwanted(Exception):
    """Nobody wants the rows of the source any more."""


def _check(scans_still: bool) -> None:
    """Raises Stopped where another process has taken the scan over, as this one was silent for too long."""
    if not scans_still:
        raise Stopped


def _now_and_then(action: Callable[[], None]) -> Callable[[], None]:
    """The action, left out where it was done a moment ago: it asks a database, which may be away for as long."""
    done_at = time.monotonic()

    def step() -> None:
        nonlocal done_at
        now = time.monotonic()
        if now - done_at >= _LOOK_SECONDS:
            try:
                action()
            except LedgerUnavailableError:
                logger.warning("ledger away during a scan", exc_info=True)
            done_at = time.monotonic()

    return step


def _gathered(found: Iterable[list[Chunk]]) -> Iterator[list[Chunk]]:
    """The same chunks in fewer lists."""
    gathered: list[Chunk] = []
    for chunks in found:
        gathered += chunks
        if len(gathered) >= _CHUNKS_AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _with_chunk_size(
    options: ImportOptions, config: EngineConfig, sizes: ChunkSizes
) -> tuple[ImportOptions, EngineConfig]:
    return (
        dataclasses.replace(options, chunk_size=sizes.rows),
        dataclasses.replace(config, max_chunk_bytes=sizes.max_bytes),
    )


def _with_sizes(plan: Plan, sizes: ChunkSizes) -> Plan:
    return dataclasses.replace(plan, chunk_rows=sizes.rows, chunk_bytes=sizes.max_bytes, sizes_guessed=sizes.guessed)

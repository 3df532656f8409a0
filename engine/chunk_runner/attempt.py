"""The work of one attempt: rows in, parts out, one commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from engine import failpoints
from engine.chunk_runner.counters import rebuild_progress
from engine.chunk_runner.heartbeat import Heartbeat
from engine.chunk_runner.job_at_hand import JobAtHand
from engine.chunk_runner.outcome_writer import OutcomeWriter
from engine.config import EngineConfig
from engine.errors import InconsistentJobError
from engine.handlers import BatchAdapter, RowAdapter, RowFailure, frame_columns, is_atomic, use_one_polars_thread
from engine.ledger import ChunkWork, Ledger
from engine.model import ChunkOutcome, Claim
from engine.native import RowTexts
from engine.progress import ProgressStore, Ticker
from engine.readers import PIECE_BYTES, BrokenRow, PlainText, Row, RowSlice, TextFrame, sliced
from engine.results import PartKeys, PartWriter, result_json
from engine.table import read_chunk, read_chunk_frame, read_chunk_slices

#: After this many deaths on a chunk its rows are watched one by one, to find the one that kills.
WATCH_AFTER_DEATHS = 2


class Stopped(Exception):
    """The process is to end before the chunk does."""


class Attempt:
    """The work of one attempt: rows in, parts out."""

    def __init__(
        self,
        at_hand: JobAtHand,
        claim: Claim,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        should_stop: Callable[[], bool],
        heartbeat: Heartbeat,
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
        self._progress = progress
        #: Rows that were run, and the seconds from the first byte read to the last line; none of watched rows.
        self.rows_run = 0
        self.seconds_taken = 0.0

    @property
    def handler_path(self) -> str:
        """Of the job's handler."""
        return self._at_hand.job.handler_path

    def run(self) -> ChunkOutcome:
        """Run the rows and commit.

        Raises:
            Stopped: the process is to stop; nothing is committed.
            LeaseLostError: another attempt has the chunk by now; nothing is committed.
        """
        claim, at_hand = self._claim, self._at_hand
        keys = PartKeys.of_claim(claim)
        began = time.monotonic()
        frame = self._frame()
        with self._new_ticker() as ticker:
            with (
                self._ledger.work(claim, atomic=is_atomic(at_hand.handler)) as work,
                PartWriter(at_hand.workspace, keys.key("success")) as success,
                PartWriter(at_hand.workspace, keys.key("failed")) as failed,
            ):
                failpoints.hit("chunk.begun")
                writer = OutcomeWriter(
                    success,
                    failed,
                    is_remote=at_hand.workspace.is_remote,
                    has_files=self._config.enable_result_files,
                    escapes=self._escape,
                )
                if frame is not None:
                    self._run_frame(frame, work, writer, ticker)
                    frame = None  # its memory is better used by the parts on their way
                else:
                    self._run_rows(work, writer, ticker)
                if self._is_watched:
                    self._ledger.watch_row(claim, None)
                else:
                    self.rows_run, self.seconds_taken = writer.counts.processed_rows, time.monotonic() - began
                outcome = writer.finish()
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

    def _slices(self, size: int) -> PlainText | Iterator[RowSlice]:
        """The chunk's rows, by as many as run before the next look at progress and cancel."""
        at_hand = self._at_hand
        where = (at_hand.source, at_hand.source_key, at_hand.plan, self._claim.chunk, self._config)
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

    def _run_rows(self, work: ChunkWork, writer: OutcomeWriter, ticker: Ticker) -> None:
        """Run every row, or as many as a cancel leaves. Raises as `run` does."""
        claim = self._claim
        size = 1 if self._is_watched else self._at_hand.options.batch_size
        slices = self._slices(size)
        if isinstance(slices, PlainText):
            if self._runs_as_text():
                self._run_text(slices, work, writer, ticker)
                return
            slices = slices.slices(size)
        adapter = self._row_adapter(work) if self._at_hand.mode == "row" else self._batch_adapter(work)
        row_index = claim.chunk.first_row_index
        for piece in slices:
            if self._is_watched:
                self._ledger.watch_row(claim, row_index)
            self._run_slice(adapter, row_index, piece, writer)
            row_index += len(piece.rows)
            if self._is_cancelled(row_index, writer, ticker):
                return
        self._check_end(row_index)

    def _runs_as_text(self) -> bool:
        """Whether no row needs a look of its own, and lines are wanted, as they are written."""
        return not (self._is_watched or self._guilty or self._escape) and self._config.enable_result_files

    def _run_text(self, text: PlainText, work: ChunkWork, writer: OutcomeWriter, ticker: Ticker) -> None:
        """As `_run_rows`, with each row cut, run and written before the next one."""
        adapter = self._row_adapter(work)
        limits, marks = (self._at_hand.options.batch_size, PIECE_BYTES), (text.delimiter, text.quote)
        expected_bytes = len(text.data) + len(text.data) // 2
        row_index, position = self._claim.chunk.first_row_index, 0
        while position < len(text.data):
            count, position, messages = adapter.run_text(
                row_index, text.data, position, limits=limits, marks=marks, **writer.lines(expected_bytes)
            )
            writer.take_lines(count, messages)
            row_index += count
            if self._is_cancelled(row_index, writer, ticker):
                return
        self._check_end(row_index)

    def _run_frame(self, chunk: TextFrame, work: ChunkWork, writer: OutcomeWriter, ticker: Ticker) -> None:
        """As `_run_rows`, with no Python object per row."""
        adapter = self._batch_adapter(work)
        size, row_index = self._at_hand.options.batch_size, self._claim.chunk.first_row_index
        for start in range(0, chunk.frame.height, size):
            batch = chunk.frame[start : start + size]
            begin = start
            for outcome in adapter.run_frame(row_index, batch):
                writer.add_frame(chunk, begin, outcome)
                begin += len(outcome.errors)
            row_index += batch.height
            if self._is_cancelled(row_index, writer, ticker):
                return
        self._check_end(row_index)

    def _is_cancelled(self, row_index: int, writer: OutcomeWriter, ticker: Ticker) -> bool:
        """Behind a batch: whether it is the last one because of a cancel.

        Args:
            row_index: of the next row.
        """
        failpoints.hit("chunk.batch")
        claim = self._claim
        if ticker.tick(writer.counts) and self._ledger.job(claim.job_id).cancel_requested:
            return True
        if row_index < claim.chunk.first_row_index + claim.chunk.row_count:
            self._heartbeat.check()
            if self._should_stop():
                raise Stopped
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
        return RowAdapter(
            at_hand.handler,
            self._claim.job_id,
            at_hand.options.for_handler(),
            guard=work.row_guard,
            result_json=result_json,
        )

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
        self, adapter: RowAdapter | BatchAdapter, first_row_index: int, piece: RowSlice, writer: OutcomeWriter
    ) -> None:
        """Run some rows and write their lines. Records are formed before the handler, which may change the rows."""
        records = writer.records(piece)
        # Rows that come with their texts are not looked at: none is broken, and the loop that writes knows the blank.
        is_known = isinstance(records, RowTexts)
        has_blank = not is_known and not all(piece.rows)
        has_broken = not is_known and BrokenRow in set(map(type, piece.rows))
        if isinstance(adapter, RowAdapter) and isinstance(records, RowTexts) and not self._guilty:
            rows: list[list[str]] = piece.rows  # type: ignore[assignment]
            writer.take_lines(len(rows), adapter.run_to_lines(first_row_index, rows, records, **writer.lines(0)))
            return
        outcomes = self._outcomes(adapter, first_row_index, piece.rows, has_broken=has_broken)
        writer.add_rows(records, outcomes, has_blank=has_blank, are_json=isinstance(adapter, RowAdapter))

    def _outcomes(
        self, adapter: RowAdapter | BatchAdapter, first_row_index: int, batch: list[Row], *, has_broken: bool
    ) -> list[Any]:
        """One outcome per row: rows that are broken, or that kill their process, do not reach the handler."""
        if not self._guilty and not has_broken:
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

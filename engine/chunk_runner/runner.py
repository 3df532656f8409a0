"""Chunks of any job, each committed once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from engine import failpoints
from engine.chunk_runner.attempt import Attempt, Stopped
from engine.chunk_runner.collector import relaxed_collector, resting_collector
from engine.chunk_runner.heartbeat import Heartbeat
from engine.chunk_runner.job_at_hand import JobsAtHand
from engine.config import EngineConfig
from engine.errors import HandlerError, LeaseLostError, LedgerError, ServiceUnavailableError, WorkerLostError
from engine.handlers import resolve_handler, use_one_polars_thread
from engine.ledger import Ledger
from engine.model import Claim
from engine.progress import ProgressStore, RowCosts
from engine.table import load_frames
from engine.tracing import span

logger = logging.getLogger(__name__)

#: A chunk of so many rows, or of so many seconds, tells what a row costs.
_TELLING_ROWS, _TELLING_SECONDS = 1_000, 1.0
#: Deaths beyond those that guilty rows explain, after which the chunk is given up.
MAX_UNEXPLAINED_DEATHS = 20


def load_batch_libraries() -> None:
    """Load ahead of time what chunks in batch mode need, apart from the handler."""
    use_one_polars_thread()
    with resting_collector():
        load_frames()


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


class ChunkRunner:
    """Runs chunks of any job of one ledger in this process."""

    def __init__(
        self,
        ledger: Ledger,
        progress: ProgressStore,
        config: EngineConfig,
        *,
        owner: str,
        costs: RowCosts | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            owner: the name of this process (`engine.ledger.owner.this_process`).
            costs: is told what rows took; None where nobody remembers.
            should_stop: asked after each batch; True makes the runner give the chunk back.
        """
        self._ledger = ledger
        self._progress = progress
        self._config = config
        self._owner = owner
        self._costs = costs
        self._should_stop = should_stop
        self._jobs = JobsAtHand(ledger, config)

    def run(self, job_id: str, chunk_index: int) -> Ran:
        """Run a chunk and commit it, exactly once however often and wherever this is called.

        Raises:
            RowmillError: something other than a row is wrong, and would be wrong again (the source
                changed, the storage is away). The chunk has been given back.
        """
        with span("rowmill.chunk", job_id=job_id, chunk_index=chunk_index):
            return self._run(job_id, chunk_index)

    def _run(self, job_id: str, chunk_index: int) -> Ran:
        claim = self._ledger.claim(job_id, chunk_index, owner=self._owner, token=os.urandom(8).hex())
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
            with Heartbeat(self._ledger, claim, self._config.heartbeat_interval_seconds) as beat, relaxed_collector():
                at_hand = self._jobs.get(job_id)
                attempt = Attempt(at_hand, claim, self._ledger, self._progress, self._config, self._should_stop, beat)
                outcome = attempt.run()
                self._note_cost(attempt)
        except LeaseLostError:
            logger.warning("chunk lease lost", extra=facts)
            return Ran.LOST
        except Stopped:
            self._release(claim)
            return Ran.STOPPED
        except BaseException:
            self._release(claim)
            raise
        logger.info("chunk done", extra={**facts, "rows": outcome.counts.processed_rows})
        return Ran.DONE

    def load_libraries(self, job_id: str) -> bool:
        """Load ahead of time what chunks of the job will need, apart from the handler; whether they are frames."""
        if self._ledger.job(job_id).handler_mode != "batch":
            return False
        load_batch_libraries()
        return True

    def load_handler(self, job_id: str) -> None:
        """Load the handler ahead of time; what fails here is told when a chunk is run."""
        with suppress(HandlerError):
            resolve_handler(self._ledger.job(job_id).handler_path)

    def _note_cost(self, attempt: Attempt) -> None:
        rows, seconds = attempt.rows_run, attempt.seconds_taken
        # Of fewer rows it would be the cost of reaching the storage.
        if self._costs is None or not (rows >= _TELLING_ROWS or (rows and seconds >= _TELLING_SECONDS)):
            return
        try:
            self._costs.note_cost(attempt.handler_path, rows=rows, seconds=seconds)
        except ServiceUnavailableError:
            logger.warning("costs of rows not noted", exc_info=True)

    def _release(self, claim: Claim) -> None:
        try:
            self._ledger.release(claim)
        except LedgerError:  # the lease runs out by itself; the first error is the one to tell
            logger.warning("chunk not released", extra={"job_id": claim.job_id}, exc_info=True)

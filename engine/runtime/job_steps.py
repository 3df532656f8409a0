"""What a worker does on a message: the same steps whichever ledger and queue they come by."""

from __future__ import annotations

import logging

from engine.chunk_runner import ChunkRunner
from engine.coordinator import Coordinator, Executor
from engine.errors import JobNotFoundError, LedgerError, RowmillError, ServiceUnavailableError
from engine.runtime.process_memory import keep_process_small

logger = logging.getLogger(__name__)


class JobSteps:
    """Plan, chunk, finish, help. Each may be ordered any number of times; the ledger decides what is still to do."""

    def __init__(self, coordinator: Coordinator, runner: ChunkRunner, executor: Executor) -> None:
        self._coordinator = coordinator
        self._runner = runner
        self._executor = executor

    def plan(self, job_id: str) -> None:
        """Scan the source and send the first chunks. After a crash it starts over."""
        keep_process_small()
        try:
            self._coordinator.plan(job_id, on_chunks=lambda: self._send_next(job_id))
            self._finish_if_ready(job_id)
        except RowmillError as error:
            # The job has been marked failed where that is the end of it; whoever asks for it is told.
            logger.error("planning failed", extra={"job_id": job_id, "error_code": error.code})
            if not isinstance(error, LedgerError):
                self._finish_if_ready(job_id)

    def chunk(self, job_id: str, chunk_index: int) -> None:
        """Run one chunk, then send the next ones of its job."""
        keep_process_small()
        facts = {"job_id": job_id, "chunk_index": chunk_index}
        try:
            self._runner.run(job_id, chunk_index)
        except JobNotFoundError:
            return  # its ledger was removed; nobody waits for it
        except RowmillError as error:
            logger.error("chunk failed", extra={**facts, "error_code": error.code})
            if not (error.transient and isinstance(error, LedgerError)):
                # An unreachable ledger cannot be told either; recovery finds the chunk when it is back.
                self._fail(job_id, error)
            return
        except Exception as error:
            # A defect would come back in every worker: it ends the job, and stands in this worker's log.
            text = f"Internal error in chunk {chunk_index}: {type(error).__name__}: {error}"[:500]
            self._fail(job_id, RowmillError(text, **facts))
            raise
        try:
            following = self._coordinator.after_chunk(job_id)
            self._send(job_id, following.chunks, finish=following.is_ready_to_finish)
        except LedgerError:  # the chunk is done; recovery finds what comes next
            logger.warning("ledger away", extra=facts, exc_info=True)

    def finish(self, job_id: str) -> None:
        """Merge the parts and end the job."""
        keep_process_small()
        try:
            self._coordinator.finish(job_id, self._executor)
        except RowmillError as error:
            logger.error("finishing failed", extra={"job_id": job_id, "error_code": error.code})

    def help(self, job_id: str, position: int, step: int) -> None:
        """Make a piece of the result files of a job that another process merges, and have the next one made."""
        following = self._coordinator.help_merge(job_id, position, step)
        if following is not None:
            try:
                self._executor.send_help(job_id, following, step)
            except ServiceUnavailableError:  # the merging process does it alone
                logger.warning("broker away", extra={"job_id": job_id}, exc_info=True)

    def _fail(self, job_id: str, error: RowmillError) -> None:
        self._coordinator.fail(job_id, error)
        self._finish_if_ready(job_id)

    def _send_next(self, job_id: str) -> None:
        self._send(job_id, self._coordinator.chunks_to_send(job_id))

    def _finish_if_ready(self, job_id: str) -> None:
        self._send(job_id, [], finish=self._coordinator.is_ready_to_finish(job_id))

    def _send(self, job_id: str, chunks: list[int], *, finish: bool = False) -> None:
        try:
            self._executor.send_chunks(job_id, chunks)
            if finish:
                self._executor.send_finish(job_id)
        except ServiceUnavailableError:  # recovery sends it all again
            logger.warning("broker away", extra={"job_id": job_id}, exc_info=True)

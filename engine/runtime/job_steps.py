"""What a worker does on a message: the same steps whichever ledger and queue they come by."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence

from engine.chunk_runner import ChunkRunner, Ran
from engine.coordinator import Coordinator, Executor
from engine.errors import JobNotFoundError, LedgerError, RowmillError, ServiceUnavailableError
from engine.runtime.process_memory import QUEUE_CHUNK_BYTES, give_back_freed_memory, keep_freed_memory

logger = logging.getLogger(__name__)

#: What workers of a queue take for `finish_here_rows`: such a merge takes less than a second.
FINISH_HERE_ROWS = 200_000


class JobSteps:
    """Plan, chunk, finish, help. Each may be ordered any number of times; the ledger decides what is still to do."""

    def __init__(
        self,
        coordinator: Coordinator,
        runner: ChunkRunner,
        executor: Executor,
        *,
        finish_here_rows: int = 0,
        observe: Callable[[str, str, float], None] = lambda _step, _outcome, _seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            finish_here_rows: jobs of so many rows at most are merged by the process that ran the last chunk, without
                a message that would have to wait its turn.
            observe: is told of each plan, chunk and merge, what became of it and how long it took.
        """
        self._observe = observe
        self._clock = clock
        self._finish_here_rows = finish_here_rows
        self._coordinator = coordinator
        self._runner = runner
        self._executor = executor

    def plan(self, job_id: str) -> bool:
        """Scan the source and send the first chunks. After a crash it starts over.

        Returns:
            False when there was nothing to do.
        """
        give_back_freed_memory()
        began = self._clock()
        try:
            if not self._coordinator.plan(job_id, on_chunks=lambda: self._send_next(job_id)):
                return False
            self._told("plan", "done", began)
            self._finish_if_ready(job_id)
        except JobNotFoundError:
            return False
        except RowmillError as error:
            self._told("plan", "failed", began)
            # The job has been marked failed where that is the end of it; whoever asks for it is told.
            facts = {"job_id": job_id, "error_code": error.code}
            logger.error("planning of job %s failed: %r", job_id, error.message, extra=facts)
            if not isinstance(error, LedgerError):
                self._finish_if_ready(job_id)
        return True

    def chunk(self, job_id: str, chunk_index: int) -> bool:
        """Run one chunk, then send the next ones of its job.

        A chunk of the job that a process died on comes first, whatever became of its message. The one that was
        ordered is then ordered anew, so that no message is used up.

        Returns:
            False when there was nothing to do.
        """
        keep_freed_memory(QUEUE_CHUNK_BYTES)
        abandoned = self._abandoned_chunk(job_id)
        if abandoned is not None and abandoned != chunk_index and self._run(job_id, abandoned):
            self._send(job_id, [chunk_index])
            return True
        return self._run(job_id, chunk_index)

    def finish(self, job_id: str) -> None:
        """Merge the parts and end the job."""
        give_back_freed_memory()
        began = self._clock()
        try:
            if self._coordinator.finish(job_id, self._executor):
                self._told("merge", "done", began)
        except RowmillError as error:
            self._told("merge", "failed", began)
            facts = {"job_id": job_id, "error_code": error.code}
            logger.error("finishing of job %s failed: %r", job_id, error.message, extra=facts)

    def help(self, job_id: str, position: int, step: int) -> None:
        """Make a piece of the result files of a job that another process merges, and have the next one made."""
        following = self._coordinator.help_merge(job_id, position, step)
        if following is not None:
            try:
                self._executor.send_help(job_id, following, step)
            except ServiceUnavailableError:  # the merging process does it alone
                logger.warning("broker away", extra={"job_id": job_id}, exc_info=True)

    def _abandoned_chunk(self, job_id: str) -> int | None:
        try:
            return self._coordinator.abandoned_chunk(job_id)
        except LedgerError:  # the claim asks the ledger again
            return None

    def _run(self, job_id: str, chunk_index: int) -> bool:
        """Run a chunk and send what comes next, or end the job; whether there was anything to run."""
        facts = {"job_id": job_id, "chunk_index": chunk_index}
        began = self._clock()
        try:
            ran = self._runner.run(job_id, chunk_index)
            if ran is not Ran.NOTHING_TO_DO:
                self._told("chunk", ran.value, began)
        except JobNotFoundError:
            return False  # its ledger was removed; nobody waits for it
        except RowmillError as error:
            self._told("chunk", "failed", began)
            text = "chunk %d of job %s failed: %r"
            logger.error(text, chunk_index, job_id, error.message, extra={**facts, "error_code": error.code})
            if not (error.transient and isinstance(error, LedgerError)):
                # An unreachable ledger cannot be told either; recovery finds the chunk when it is back.
                self._fail(job_id, error)
            return True
        except (Exception, KeyboardInterrupt) as error:
            is_interrupt = isinstance(error, KeyboardInterrupt)
            if is_interrupt and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                raise  # Ctrl-C
            self._told("chunk", "failed", began)
            # A defect would come back in every worker: it ends the job, and stands in this worker's log. So would an
            # interrupt of the handler's own; it would end the process as well, and the next, and never the job.
            text = f"Internal error in chunk {chunk_index}: {type(error).__name__}: {error}"[:500]
            self._fail(job_id, RowmillError(text, **facts))
            if is_interrupt:
                raise RuntimeError(text) from error
            raise
        try:
            following = self._coordinator.after_chunk(job_id)
            self._send(job_id, following.chunks, finish=following.is_ready_to_finish)
            if ran is Ran.DONE and not following.is_ready_to_finish:
                self._coordinator.bundle(job_id, chunk_index)
        except LedgerError:  # the chunk is done; recovery finds what comes next
            logger.warning("ledger away", extra=facts, exc_info=True)
        return ran is not Ran.NOTHING_TO_DO

    def _told(self, step: str, outcome: str, began: float) -> None:
        self._observe(step, outcome, self._clock() - began)

    def _fail(self, job_id: str, error: RowmillError) -> None:
        self._coordinator.fail(job_id, error)
        self._finish_if_ready(job_id)

    def _send_next(self, job_id: str) -> None:
        self._send(job_id, self._coordinator.chunks_to_send(job_id))

    def _finish_if_ready(self, job_id: str) -> None:
        self._send(job_id, [], finish=self._coordinator.is_ready_to_finish(job_id))

    def _send(self, job_id: str, chunk_indexes: Sequence[int], *, finish: bool = False) -> None:
        """Order chunks, and the merge where it is time; a small one is done here."""
        is_small = self._finish_here_rows and finish and self._coordinator.rows_of(job_id) <= self._finish_here_rows
        try:
            self._executor.send_chunks(job_id, chunk_indexes)
            if finish and not is_small:
                self._executor.send_finish(job_id)
        except ServiceUnavailableError:  # recovery sends it all again
            logger.warning("broker away", extra={"job_id": job_id}, exc_info=True)
        if is_small:
            self.finish(job_id)

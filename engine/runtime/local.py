"""The local executor: a pool of worker processes on this machine, and the loop that feeds them.

The pool is our own because a worker may die (a handler that exits, an out-of-memory kill) and the
run must go on: `concurrent.futures` gives up its whole pool then. Workers are fresh interpreters,
never forks, and do not import the caller's `__main__`.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.errors import InterruptedJobError, RowmillError, WorkerLostError
from engine.ledger import Ledger
from engine.model import Counts, Job
from engine.progress import MemoryProgress

logger = logging.getLogger(__name__)

#: What a worker runs first: no Ctrl-C of its own (the parent decides), then the parent's import path.
_BOOT = (
    "import signal, sys, json; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = json.loads(sys.argv[2]); "
    "from engine.runtime.local_worker import main; main(int(sys.argv[1]))"
)
#: Chunks a worker has been given at most: one to run, one to begin with at once afterwards.
_CHUNKS_PER_WORKER = 2
#: Seconds between two looks at the ledger for cancels, lost chunks and the end of the scan.
_LOOK_SECONDS = 0.25
#: Seconds that chunks in hand get to end after Ctrl-C before they are given back unfinished.
_GRACE_SECONDS = 5.0
#: Workers that die before they have run anything, in a row, until the pool is given up.
_MAX_FAILED_STARTS = 5


class _Worker:
    """One worker process and what it has been given."""

    def __init__(self, ledger_url: str, config: EngineConfig) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a handler prints must not mix with what the command prints
            )
        self.connection = Connection(ours.detach())
        self.chunks: list[int] = []
        self.is_ready = False
        self.send(ledger_url, config)

    def send(self, *message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:  # it has died; the loop will see that
            logger.debug("worker does not listen", extra={"pid": self.process.pid})

    def close(self) -> None:
        self.connection.close()
        self.process.wait()


class LocalRun:
    """Runs one job to its end with worker processes of its own."""

    def __init__(
        self,
        coordinator: Coordinator,
        ledger: Ledger,
        progress: MemoryProgress,
        config: EngineConfig,
        *,
        workers: int,
        on_progress: Callable[[Job, Counts], None] = lambda _job, _counts: None,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            workers: processes, at least 1.
            on_progress: called a few times a second with the job and its live counts.
            on_interrupt: called when the first Ctrl-C was noticed.
        """
        self._coordinator = coordinator
        self._ledger = ledger
        self._progress = progress
        self._config = config
        self._worker_count = workers
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._on_progress = on_progress
        self._on_interrupt = on_interrupt
        self._planner: threading.Thread | None = None
        self._plan_error: Exception | None = None
        self._wants_finish = False
        self._queue: list[int] = []

    def run(self, job_id: str) -> Job:
        """Bring the job to its end, whether it is new or was interrupted. One such run per job at a time.

        Returns:
            The ended job: succeeded or cancelled.

        Raises:
            InterruptedJobError: Ctrl-C; the job can be resumed.
            RowmillError: the job failed; it has been marked so, and can be resumed.
        """
        try:
            return self._loop(job_id)
        except RowmillError as error:
            self._coordinator.fail(job_id, error)
            raise
        except KeyboardInterrupt:
            self._drain()
            raise InterruptedJobError(f"Job {job_id} was interrupted.", job_id=job_id) from None
        finally:
            self._end_workers()

    # The executor that the coordinator talks to

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Queue chunks for the workers of this run, but those that a living worker has already."""
        del job_id
        held = {index for worker in self._workers for index in worker.chunks}
        self._queue.extend(index for index in chunk_indexes if index not in held and index not in self._queue)

    def send_plan(self, job_id: str) -> None:
        """Scan in a thread, so that chunks can run and counts be shown meanwhile."""
        if self._planner is not None:
            return

        def plan() -> None:
            try:
                self._coordinator.plan(job_id)
            except Exception as error:  # noqa: BLE001 - carried to the loop, which raises it
                self._plan_error = error

        self._planner = threading.Thread(target=plan, name="rowmill-planner", daemon=True)
        self._planner.start()

    def send_finish(self, job_id: str) -> None:
        """Finish at the loop's next turn."""
        del job_id
        self._wants_finish = True

    # The loop

    def _loop(self, job_id: str) -> Job:
        job = self._ledger.job(job_id)
        if job.status.is_final:
            return job
        self._progress.begin(job_id, total_rows=job.total_rows, done=self._ledger.counts_by_chunk(job_id))
        # The scan takes longer than a worker's start, so both begin together.
        if job.phase is None:
            self.send_plan(job_id)
        self._workers = [self._new_worker() for _ in range(self._worker_count)]
        next_look = 0.0
        while True:
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _LOOK_SECONDS
                job = self._look(job_id)
                if job.status.is_final:
                    return job
            self._fill(job_id)
            if self._wants_finish or (not self._has_work() and self._coordinator.is_ready_to_finish(job_id)):
                self._wants_finish = False
                self._finish(job_id)
                next_look = 0.0
                continue
            self._hear(timeout=0.02 if self._is_planning() else _LOOK_SECONDS)

    def _look(self, job_id: str) -> Job:
        """What cannot be heard from the workers: the scan's end, cancels, chunks held by a dead earlier run."""
        if self._plan_error is not None:
            raise self._plan_error
        job = self._ledger.job(job_id)
        if job.cancel_requested:
            for worker in self._workers:
                worker.send("cancel", job_id)
            self._queue.clear()
        if not self._is_planning():
            self._coordinator.recover(job_id, self)
        self._on_progress(job, self._coordinator.counts(job))
        return self._ledger.job(job_id)

    def _fill(self, job_id: str) -> None:
        room = sum(_CHUNKS_PER_WORKER - len(worker.chunks) for worker in self._workers)
        if room > len(self._queue):
            window = self._worker_count * _CHUNKS_PER_WORKER
            self._queue.extend(self._coordinator.chunks_to_send(job_id, window=window))
        for worker in sorted(self._workers, key=lambda worker: len(worker.chunks)):
            while self._queue and len(worker.chunks) < _CHUNKS_PER_WORKER:
                index = self._queue.pop(0)
                worker.chunks.append(index)
                worker.send("run", job_id, index)

    def _hear(self, *, timeout: float) -> None:
        """Wait for messages and deaths, and take in all there are."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), timeout):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                while worker.connection.poll():
                    self._take(worker, worker.connection.recv())
            except (EOFError, OSError):
                self._bury(worker)

    def _take(self, worker: _Worker, message: Any) -> None:
        match message:
            case ("counts", job_id, chunk_index, attempt, counts, done):
                self._progress.record(job_id, chunk_index, attempt, counts, done=done)
            case ("ready",):
                worker.is_ready, self._failed_starts = True, 0
            case ("ran", chunk_index, _):
                worker.chunks.remove(chunk_index)
            case ("error", chunk_index, error):
                worker.chunks.remove(chunk_index)
                raise error

    def _bury(self, worker: _Worker) -> None:
        """A worker died: put another in its place; its chunks are taken back by the ledger, which sees it dead."""
        worker.close()
        logger.warning("worker died", extra={"pid": worker.process.pid, "exit_code": worker.process.returncode})
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise WorkerLostError(
                    f"Worker processes end as soon as they start (exit code {worker.process.returncode}); see above."
                )
        self._workers[self._workers.index(worker)] = self._new_worker()
        # Not begun by the dead worker, or leased by it: either way to be run by another one.
        self._queue[:0] = worker.chunks

    def _finish(self, job_id: str) -> None:
        self._on_progress(self._ledger.job(job_id), self._coordinator.counts(self._ledger.job(job_id)))
        self._coordinator.finish(job_id)

    def _drain(self) -> None:
        """After Ctrl-C: let the chunks in hand end for a short while; a second Ctrl-C ends the wait."""
        self._on_interrupt()
        try:
            self._await_ends("drain", _GRACE_SECONDS)
        except KeyboardInterrupt:
            logger.debug("drain ended early")

    def _end_workers(self) -> None:
        """Have every worker give back what it holds and end; kill those that do not."""
        try:
            self._await_ends("stop", _GRACE_SECONDS)
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.close()
            self._workers = []

    def _await_ends(self, order: str, seconds: float) -> None:
        """Tell the workers to end and read what they still have to say, so that none blocks on a full socket."""
        deadline = time.monotonic() + seconds
        living = {worker.connection: worker for worker in self._workers}
        for worker in self._workers:
            worker.send(order)
        while living and time.monotonic() < deadline:
            for ready in wait(list(living), 0.05):
                try:
                    living[ready].connection.recv()  # type: ignore[index]
                except (EOFError, OSError):
                    del living[ready]  # type: ignore[arg-type]

    def _new_worker(self) -> _Worker:
        return _Worker(self._ledger.url, self._config)

    def _has_work(self) -> bool:
        return bool(self._queue) or any(worker.chunks for worker in self._workers)

    def _is_planning(self) -> bool:
        return self._planner is not None and self._planner.is_alive()

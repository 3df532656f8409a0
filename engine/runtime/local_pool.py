"""The worker processes of a local run, and the chunks that wait for them.

The pool is our own because a worker may die (a handler that exits, an out-of-memory kill) and the
run must go on: `concurrent.futures` gives up its whole pool then. Workers are fresh interpreters,
never forks, and do not import the caller's `__main__`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from engine.config import EngineConfig
from engine.errors import WorkerLostError
from engine.runtime.local_fork import ForkedProcess
from engine.runtime.local_process import WorkerProcess

logger = logging.getLogger(__name__)

#: Chunks a worker has been given at most: one to run, one to begin with at once afterwards.
_CHUNKS_PER_WORKER = 2
#: Seconds that chunks in hand get to end after Ctrl-C before they are given back unfinished.
_GRACE_SECONDS = 5.0
#: Seconds after which a worker that has not begun to work is taken for stuck, however busy the machine is.
_START_SECONDS = 120.0
#: Workers that die before they have begun to work, while no other gets anything done, until none is started any more.
_MAX_FAILED_STARTS = 5


class WorkerPool:
    """So many processes, in whose place others come when they die; each chunk is in the hands of one of them."""

    def __init__(
        self, ledger_url: str, config: EngineConfig, *, count: int, forked: Sequence[ForkedProcess] = ()
    ) -> None:
        """
        Args:
            count: processes, at least 1.
            forked: processes that wait to be taken as workers.
        """
        self._ledger_url = ledger_url
        self._config = config
        self._count = count
        self._forked = list(forked)
        self._workers: list[WorkerProcess] = []
        self._failed_starts = 0
        self._queue: list[int] = []

    @property
    def window(self) -> int:
        """How many chunks all workers together can have."""
        return self._count * _CHUNKS_PER_WORKER

    @property
    def has_work(self) -> bool:
        """Whether any chunk waits or is in a worker's hands."""
        return bool(self._queue) or any(worker.chunks for worker in self._workers)

    @property
    def has_waiting(self) -> bool:
        """Whether any chunk waits for a worker."""
        return bool(self._queue)

    @property
    def is_short_of_chunks(self) -> bool:
        """Whether the workers could be given more chunks than wait."""
        room = sum(_CHUNKS_PER_WORKER - len(worker.chunks) for worker in self._workers)
        return room > len(self._queue)

    def staff(self, job_id: str, trouble: str = "") -> None:
        """Start the workers that are missing; while new ones keep dying, those that there are go on alone.

        Raises:
            WorkerLostError: there are none; says the trouble.
        """
        while len(self._workers) < self._count:
            if self._failed_starts >= _MAX_FAILED_STARTS:
                if any(worker.is_ready for worker in self._workers):
                    return
                raise WorkerLostError(trouble)
            try:
                forked = self._forked.pop() if self._forked else None
                self._workers.append(WorkerProcess(self._ledger_url, self._config, job_id, forked=forked))
            except WorkerLostError as error:
                self._failed_starts, trouble = _MAX_FAILED_STARTS, error.message

    def enqueue(self, chunk_indexes: Sequence[int], *, first: bool = False) -> None:
        """Have chunks wait for a worker, but those that wait already, or that a living worker has."""
        held = {index for worker in self._workers for index in worker.chunks}.union(self._queue)
        new = [index for index in chunk_indexes if index not in held]
        self._queue[:] = [*new, *self._queue] if first else [*self._queue, *new]

    def forget_waiting(self) -> None:
        """Have no chunk wait any more."""
        self._queue.clear()

    def hand_out(self, job_id: str) -> None:
        """Give the workers what they can take, the idlest first."""
        while self._queue:
            worker = min(self._workers, key=lambda worker: len(worker.chunks))
            if len(worker.chunks) >= _CHUNKS_PER_WORKER:
                return
            worker.run_chunk(job_id, self._queue.pop(0))

    def help_merge(self, job_id: str, position: int, step: int) -> None:
        """Have a worker help with the merge; one is spared, as this process works in its place."""
        helpers = self._workers[1:]
        if helpers:
            helpers[position % len(helpers)].help_merge(job_id, position, step)

    def cancel(self, job_id: str) -> None:
        """Tell all workers, once, that the job is to end after the running batch."""
        for worker in self._workers:
            worker.cancel(job_id)

    def heard(self, timeout: float) -> Iterator[tuple[WorkerProcess, Any]]:
        """Wait for messages and deaths, and give all there are: the worker, and what it says, or None if it died."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), timeout):
            worker = by_connection[ready]  # type: ignore[index]
            while True:
                try:
                    message = worker.connection.recv() if worker.connection.poll() else ()
                except (EOFError, OSError):
                    message = None
                if message == ():
                    break
                yield worker, message
                if message is None:
                    break

    def got_something_done(self, worker: WorkerProcess | None = None) -> None:
        """Take in that a worker works: what died before was no sign of trouble with all of them.

        Args:
            worker: one that has just begun.
        """
        self._failed_starts = 0
        if worker is not None:
            worker.is_ready = True

    def dead_in_silence(self) -> list[WorkerProcess]:
        """Workers whose end is not heard, as a child of their own keeps the socket open."""
        return [worker for worker in self._workers if worker.exit_code is not None and not worker.connection.poll()]

    def bury(self, worker: WorkerProcess) -> None:
        """A worker died: have its chunks run by another; the ledger sees that it is dead."""
        worker.end()
        logger.warning("worker died", extra={"pid": worker.pid, "exit_code": worker.exit_code})
        self._failed_starts = 0 if worker.is_ready else self._failed_starts + 1
        self._workers.remove(worker)
        # Not begun by the dead worker, or leased by it: either way to be run by another one.
        self.enqueue(worker.chunks, first=True)

    def kill_silent(self, chunk_indexes: Sequence[int]) -> None:
        """Kill workers whose chunk was taken back although they have had it all the time: stopped ones, or stuck."""
        for worker in self._workers:
            patience = self._config.lease_seconds if worker.is_ready else _START_SECONDS
            if worker.busy_seconds >= patience and worker.chunks[0] in chunk_indexes:
                logger.warning("worker is silent", extra={"pid": worker.pid})
                worker.kill()

    def drain(self) -> None:
        """Let the chunks in hand end for a short while."""
        for worker in self._workers:
            worker.drain()
        self._await_ends()

    def stop(self) -> None:
        """Have every worker give back what it holds and end, if it does so within a short while."""
        for worker in self._workers:
            worker.stop()
        self._await_ends()

    def end(self) -> None:
        """Kill every worker that still lives. A repeat does nothing."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _await_ends(self) -> None:
        """Read what the workers still have to say until they have ended, so that none blocks on a full socket."""
        deadline = time.monotonic() + _GRACE_SECONDS
        living = {worker.connection: worker for worker in self._workers if not worker.connection.closed}
        while living and time.monotonic() < deadline:
            for ready in wait(list(living), 0.05):
                try:
                    living[ready].connection.recv()  # type: ignore[index]
                except (EOFError, OSError):
                    del living[ready]  # type: ignore[arg-type]

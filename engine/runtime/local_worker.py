"""A worker process of the local executor: runs chunks that its parent names, until the parent is gone.

The first message from the parent is its set-up; before that ("load", handler_path) may come, which ("loaded",
HandlerError or None) answers. Then: ("run", job_id, chunk_index), ("help", job_id, position, step) with a merge,
("cancel", job_id), ("drain",) to end after the chunk in hand, ("stop",) to end after the batch in
hand. To the parent: ("ready",), ("counts", job_id, chunk_index, attempt, counts, done), ("cost", handler_path, rows,
seconds), ("ran", chunk_index, Ran), ("error", chunk_index, RowmillError). They travel over a socket that only these
two hold.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from engine.chunk_runner import ChunkRunner, load_batch_libraries
from engine.config import EngineConfig
from engine.coordinator.helping import MergeHelper
from engine.errors import HandlerError, RowmillError
from engine.handlers import resolve_handler
from engine.ledger import open_ledger
from engine.ledger.owner import this_process
from engine.model import Counts
from engine.runtime.pipe_progress import PipeCosts, PipeProgress
from engine.runtime.process_memory import CHUNK_BYTES, ROWS_BYTES, keep_freed_memory

logger = logging.getLogger(__name__)


class LocalWorker:
    """The loop of one worker process."""

    def __init__(self, connection: Connection, ledger_url: str, config: EngineConfig) -> None:
        self._connection = connection
        self._orders: deque[tuple[str, int]] = deque()
        self._helps: deque[tuple[str, int, int]] = deque()
        self._cancelled: set[str] = set()
        self._is_stopping = False
        self._is_draining = False
        self._is_orphan = False
        self._ledger = open_ledger(ledger_url, executor="local")
        self._helper = MergeHelper(self._ledger, config)
        self._runner = ChunkRunner(
            self._ledger,
            PipeProgress(self._send_counts, self._read_cancelled),
            config,
            owner=this_process(),
            costs=PipeCosts(partial(self._send, "cost")),
            should_stop=self._should_stop,
        )

    def serve(self, job_id: str | None = None, import_path: Sequence[str] | None = None) -> None:
        """Run chunks in the order they were named; returns when told to, or when the parent has died.

        Args:
            job_id: whose handler is loaded before anything else.
            import_path: where it is found; not looked at before the engine has loaded what it needs itself.
        """
        if job_id is not None and self._runner.load_libraries(job_id):
            # A chunk, its texts and its lines; without the third, batch mode has four times the page faults.
            keep_freed_memory(CHUNK_BYTES, free_blocks=3)
        if import_path is not None:
            sys.path[:] = import_path
        if job_id is not None:
            self._runner.load_handler(job_id)
        self._send("ready")
        while True:
            # The order to end may have come while the last chunk ran: then there is nothing to wait for.
            self._receive(block=not self._orders and not self._helps and not self._is_ending())
            if self._is_ending():
                self._ledger.close()
                return
            if not self._orders:
                self._help(*self._helps.popleft())
                continue
            job_id, chunk_index = self._orders.popleft()
            try:
                self._send("ran", chunk_index, self._runner.run(job_id, chunk_index))
            except RowmillError as error:
                self._send("error", chunk_index, error)
            except BaseException as error:
                # A defect, or a handler's KeyboardInterrupt (Ctrl-C does not reach a worker): it would come back in
                # every worker, so it ends the job.
                logger.exception("internal error", extra={"job_id": job_id, "chunk_index": chunk_index})
                text = f"Internal error in chunk {chunk_index}: {type(error).__name__}: {error}"[:500]
                self._send("error", chunk_index, RowmillError(text, job_id=job_id, chunk_index=chunk_index))

    def _help(self, job_id: str, position: int, step: int) -> None:
        following = self._helper.help(job_id, position, step, should_stop=self._should_stop)
        if following is not None:
            self._helps.append((job_id, following, step))

    def _is_ending(self) -> bool:
        return self._is_stopping or self._is_draining or self._is_orphan

    def _send_counts(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, done: bool) -> None:
        self._send("counts", job_id, chunk_index, attempt, counts, done)

    def _send(self, *message: Any) -> None:
        # A dead parent takes nothing away from the chunk in hand: the ledger hears of it, and a resumed run goes on.
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def _read_cancelled(self) -> set[str]:
        self._receive(block=False)
        return self._cancelled

    def _should_stop(self) -> bool:
        self._receive(block=False)
        return self._is_stopping

    def _receive(self, *, block: bool) -> None:
        try:
            while (block and not self._orders and not self._helps) or self._connection.poll():
                message = self._connection.recv()
                match message:
                    case ("run", job_id, chunk_index):
                        self._orders.append((job_id, chunk_index))
                    case ("help", job_id, position, step):
                        self._helps.append((job_id, position, step))
                    case ("cancel", job_id):
                        self._cancelled.add(job_id)
                    case ("drain",):
                        self._is_draining, block = True, False
                    case ("stop",):
                        self._is_stopping, block = True, False
        except (EOFError, OSError):
            self._is_orphan = True


def _trouble_with(handler_path: str, import_path: Sequence[str] | None) -> HandlerError | None:
    """Load a batch handler; what there is to say against it."""
    load_batch_libraries()
    if import_path is not None:
        sys.path[:] = import_path
    try:
        resolve_handler(handler_path)
    except HandlerError as error:
        return error
    return None


def main(descriptor: int, import_path: Sequence[str] | None = None) -> None:
    """Serve the parent at the other end of an inherited socket; its first message is the set-up."""
    keep_freed_memory(ROWS_BYTES)
    connection = Connection(descriptor)
    try:
        set_up = _set_up(connection, import_path)
        if set_up is not None:
            ledger_url, config, job_id = set_up
            LocalWorker(connection, ledger_url, config).serve(job_id, import_path)
    except KeyboardInterrupt:
        return
    finally:
        connection.close()


def _set_up(connection: Connection, import_path: Sequence[str] | None) -> Any:
    """The parent's first message, or None where it has ended before it had any work."""
    try:
        message = connection.recv()
        if message[0] == "load":
            connection.send(("loaded", _trouble_with(message[1], import_path)))
            message = connection.recv()
    except (EOFError, ConnectionError):
        return None
    return message

"""One worker process of the local executor, as its parent sees it."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.config import EngineConfig
from engine.errors import WorkerLostError
from engine.runtime.local_fork import ForkedProcess

logger = logging.getLogger(__name__)

#: What a worker runs first: the socket stays open until its very end, since the parent kills what is left of a
#: worker whose end it hears; no Ctrl-C of its own (the parent decides), then the engine, and only with the
#: handler the parent's import path: a `csv.py` that lies beside the user's handlers must not be taken for Python's.
_BOOT = (
    "import os, signal, sys, json; os.dup(int(sys.argv[1])); signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = json.loads(sys.argv[2]); "
    "from engine.runtime.local_worker import main; "
    "main(int(sys.argv[1]), json.loads(sys.argv[3]))"
)
_ENGINE_FOLDER = str(Path(__file__).parents[2])


def _import_paths() -> tuple[list[str], list[str]]:
    """Where a worker finds the engine and what it needs, without the current folder; and the parent's whole path."""
    whole = [str(entry) for entry in sys.path]
    here = os.path.realpath(".")
    return [*(entry for entry in whole if os.path.realpath(entry) != here), _ENGINE_FOLDER], whole


class WorkerProcess:
    """A process that runs chunks, and what it has been given."""

    def __init__(
        self, ledger_url: str, config: EngineConfig, job_id: str, *, forked: ForkedProcess | None = None
    ) -> None:
        """Start it, as a fresh interpreter.

        Args:
            job_id: of the job whose chunks it will get; it loads the handler before it says that it is ready.
            forked: a process to take instead.

        Raises:
            WorkerLostError: the machine starts no process.
        """
        self._process: subprocess.Popen[bytes] | ForkedProcess
        if forked is not None:
            self._process, self.connection = forked, forked.connection
        else:
            self._process, self.connection = self._start()
        self.chunks: list[int] = []
        """Those it has been given and has not reported on, the running one first."""
        self.is_ready = False
        self._told_to_cancel = False
        self._busy_since = 0.0
        self._send(ledger_url, config, job_id)

    @staticmethod
    def _start() -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                    [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), *map(json.dumps, _import_paths())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what a handler prints must not mix with what the command prints
                )
        except OSError as error:
            ours.close()
            raise WorkerLostError(f"No worker process can be started: {error}.") from error
        return process, Connection(ours.detach())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    @property
    def busy_seconds(self) -> float:
        """Since it could begin with the first of its chunks."""
        return time.monotonic() - self._busy_since if self.chunks else 0.0

    def run_chunk(self, job_id: str, chunk_index: int) -> None:
        """Give it one chunk more."""
        if not self.chunks:
            self._busy_since = time.monotonic()
        self.chunks.append(chunk_index)
        self._send("run", job_id, chunk_index)

    def help_merge(self, job_id: str, position: int, step: int) -> None:
        """Have it help this process with the merge; it does not report on that."""
        self._send("help", job_id, position, step)

    def chunk_ended(self, chunk_index: int) -> None:
        """Take in that it is through with a chunk, one way or another."""
        self.chunks.remove(chunk_index)
        self._busy_since = time.monotonic()

    def cancel(self, job_id: str) -> None:
        """Tell it, once, that the job is to end after the running batch."""
        if not self._told_to_cancel:
            self._told_to_cancel = True
            self._send("cancel", job_id)

    def drain(self) -> None:
        """Have it end after the running chunk."""
        self._send("drain")

    def stop(self) -> None:
        """Have it end after the running batch, and give the chunk back."""
        self._send("stop")

    def kill(self) -> None:
        """Kill it, without waiting for its end."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, if it still lives, and leave nothing of it behind."""
        self.kill()
        self.connection.close()
        self._process.wait()

    def _send(self, *message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:  # it has died; the loop will see that
            logger.debug("worker does not listen", extra={"pid": self.pid})

"""Workers forked from the command line's process before it has loaded anything but the engine.

A fork has the engine loaded already, where a fresh interpreter takes a tenth of a second of each
processor for that. It is safe only from a process that runs one thread and has used neither polars
nor the team's code; where that is not so, and for every worker that takes a dead one's place,
`local_process` starts a fresh interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NoReturn

from engine.errors import HandlerError
from engine.handlers import resolve_handler

#: Seconds between two looks at a process that has been killed.
_LOOK_SECONDS = 0.001


class ForkedProcess:
    """A worker that waits for its set-up, as far as `subprocess.Popen` is needed for one."""

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self.connection = connection
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal's number; None while it lives."""
        if self._exit_code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def kill(self) -> None:
        """Kill it, unless its end is known."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Until it has ended; it has been killed."""
        while (code := self.poll()) is None:
            time.sleep(_LOOK_SECONDS)
        return code


class HandlerInWorkers:
    """Loads a batch handler in the workers alone, which all need it: this process need not load polars.

    What it asks of them is asked before anything else, so that they load while this process does other things.
    """

    def __init__(self, forked: Sequence[ForkedProcess], path: str) -> None:
        """
        Args:
            forked: at least one.
            path: of the handler, as `resolve_handler` takes it.
        """
        self._first = forked[0].connection
        self._path = path
        self._is_loaded = False
        for each in forked:
            with contextlib.suppress(OSError):  # it has died; who uses it will see that
                each.connection.send(("load", path))

    def is_loading(self) -> bool:
        """Whether a call would have to wait."""
        return not self._is_loaded and not self._first.poll()

    def __call__(self, path: str) -> None:
        """Wait until it is loaded.

        Raises:
            HandlerError: as `resolve_handler`.
        """
        if self._is_loaded and path == self._path:
            return
        error: HandlerError | None = None
        try:
            if path != self._path:
                raise EOFError
            _, error = self._first.recv()
        except (EOFError, OSError):
            # The worker died of it, or was not asked: whatever it is comes here, too.
            resolve_handler(path)
        if error is not None:
            raise error
        self._is_loaded = True


def can_fork() -> bool:
    """Whether this process may be forked: on Linux, with one thread, before polars was loaded."""
    try:
        return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1 and "polars" not in sys.modules
    except OSError:
        return False


def fork_workers(count: int, *, import_path: Sequence[str]) -> list[ForkedProcess]:
    """Fork so many, or as many as the machine starts.

    Args:
        import_path: where the team's code is found.
    """
    # Whatever is loaded by now is never garbage; not looking at it keeps its pages shared, too.
    gc.freeze()
    forked: list[ForkedProcess] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            break
        if pid == 0:
            ours.close()
            for other in forked:
                # Else a sibling would not hear of the parent's end.
                other.connection.close()
            _work(theirs.detach(), import_path)
        theirs.close()
        forked.append(ForkedProcess(pid, Connection(ours.detach())))
    return forked


def _work(descriptor: int, import_path: Sequence[str]) -> NoReturn:
    """Be a worker; never returns to what the parent was doing."""
    code = 1
    try:
        # The parent decides about Ctrl-C; a `kill` is for this process alone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        atexit._clear()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        # Open until the very end: once the parent hears that the worker is through, it kills what is left of it.
        os.dup(descriptor)
        os.dup2(2, 1)  # what a handler prints must not mix with what the command prints
        from engine.runtime.local_worker import main

        main(descriptor, import_path)
        code = 0
    except BaseException as error:  # noqa: BLE001 - there is nobody above to hear of it
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        # What else an interpreter does at its end: threads and exit functions of the team's code.
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

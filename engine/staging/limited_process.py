"""A process of its own for what a library does with a file that may be hostile: limited in memory and in time.

It gets a request, and what else it is fed, and writes a table as an Arrow stream, which is read here
as it comes. It is ended as soon as nobody wants the table any more, and it ends with this process,
however that ends. What happens to it (it runs out of memory, it crashes) happens to nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NoReturn

import pyarrow as pa

from engine.arrow_form import END_OF_STREAM
from engine.errors import RowmillError, SourceError, error_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Exit code of a child that has told of its error, as a line of JSON, at the end of stderr.
TOLD = 3
#: Between two looks whether the table is still wanted, while nothing comes.
_LOOK_MILLISECONDS = 250
#: For a child that has written its table to be gone, and for one whose table breaks off.
_EXIT_SECONDS, _DEATH_SECONDS = 30, 5
_PIPE_BYTES = 1024 * 1024
_TOLD_BYTES = 64 * 1024
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process may take."""

    memory_bytes: int
    """Beside what it takes before it sees the file."""
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a process ended that did not write its table to the end."""

    exit_code: int
    text: str
    """What it said."""
    is_overdue: bool
    """Whether it was ended because its time was up."""

    @property
    def is_of_memory(self) -> bool:
        """Whether memory was refused to it, by its limit or by the system."""
        text = self.text.lower()
        return self.exit_code == -signal.SIGKILL or "bad_alloc" in text or "memory" in text

    @property
    def last_words(self) -> str:
        """A line for a message."""
        return (self.text.strip().splitlines() or ["it ended without a reason"])[-1][:300]


@contextmanager
def table_of_process(
    module: str,
    request: Mapping[str, Any],
    limits: Limits,
    *,
    why: Callable[[Death], SourceError],
    checkpoint: Callable[[], None],
    feed: Callable[[Callable[[bytes], None]], None] = lambda _: None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[TableStream]:
    """Start `python -m module`, whose `main` calls `run_limited`, and read its table within the context.

    A table that is not read to its end is no longer wanted: the process is ended with the context.

    Args:
        request: values as JSON has them, for `run_limited`.
        why: words the error of a process that died.
        checkpoint: called several times a second while it is waited for; what it raises ends the process.
        feed: gets what writes to the process's stdin, behind the request; the table is read afterwards.
        environment: variables beside those of this process.

    Raises:
        RowmillError: what the process told, or `why` it died.
        Exception: what `checkpoint` or `feed` raised.
    """
    deadline = time.monotonic() + limits.timeout_seconds
    with tempfile.TemporaryFile() as told, _started(module, told, environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.dumps([os.getpid(), limits.memory_bytes, dict(request)]).encode() + b"\n"
        sink = _Sink(process.stdin.fileno(), deadline, checkpoint)
        pipe = _Pipe(process.stdout.fileno(), deadline, checkpoint)
        file = io.BufferedReader(pipe, _PIPE_BYTES)

        def check_end(seconds: float) -> None:
            """Raise what a process that is ending has ended with, if that is not a whole table."""
            is_overdue = pipe.is_overdue or sink.is_overdue
            if is_overdue:
                process.kill()
            code = process.wait(seconds)
            if code or is_overdue or pipe.tail != END_OF_STREAM:
                _raise_why(code, told, is_overdue, why)

        try:
            sink.write(line)
            feed(sink.write)
            process.stdin.close()
            yield TableStream(file, lambda: check_end(_EXIT_SECONDS))
        except (pa.ArrowInvalid, OSError, EOFError, _OverdueError) as error:
            # Where it lives, or has ended well, the error is of another kind.
            with contextlib.suppress(subprocess.TimeoutExpired):
                try:
                    check_end(_DEATH_SECONDS)
                except RowmillError as told_error:
                    raise told_error from error
            raise


class TableStream:
    """The batches of the process."""

    def __init__(self, file: BinaryIO, check_end: Callable[[], None]) -> None:
        self._reader = pa.ipc.open_stream(file)
        self._check_end = check_end

    @property
    def schema(self) -> pa.Schema:
        """With the metadata that the process wrote."""
        return self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._reader
        # To Arrow a stream that breaks off has ended.
        self._check_end()


def run_limited(write: Callable[[dict[str, Any]], None]) -> None:
    """What a child's `main` is: read the request, set the limits, write; an error is told and is exit code `TOLD`.

    Args:
        write: gets the request, may read from stdin what stands behind it, and writes an Arrow stream to stdout.
    """
    parent, memory_bytes, request = json.loads(sys.stdin.buffer.readline())
    _end_with(parent)
    sys.meta_path.insert(0, _WithoutPandas())
    limit_memory(memory_bytes)
    try:
        write(request)
    except RowmillError as error:
        # Libraries may have said something there before, and not to the end of a line.
        told = json.dumps({"code": error.code, "message": error.message, "facts": error.facts})
        print(f"\n{told}", file=sys.stderr, flush=True)
        os._exit(TOLD)  # with no room for more, nothing is to be tidied up
    sys.stdout.flush()


class _WithoutPandas:
    """Arrow asks of every list whether it is one of pandas' columns, and loads pandas for that: a fifth of a second."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Refuse pandas as if it were not installed."""
        if name == "pandas":
            raise ModuleNotFoundError("no pandas here", name=name)


def limit_memory(memory_bytes: int) -> None:
    """Let this process take so many bytes more than it has now, where the system can limit it."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, mapped + memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):  # no such limit here: the time limit remains
        return


def _end_with(parent: int) -> None:
    """Have the system end this process when its parent is gone, where it can; a pipe that breaks ends it later."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # gone already
        os._exit(1)


class _OverdueError(Exception):
    """The time is up."""


class _Pipe(io.RawIOBase):
    """A child's output, waited for no longer than it may take, and than it is wanted."""

    def __init__(self, descriptor: int, deadline: float, checkpoint: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._deadline = deadline
        self._checkpoint = checkpoint
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.is_overdue = False
        self.tail = b""
        """The last 8 bytes that came."""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """What has come; nothing at the end."""
        while True:
            self._checkpoint()
            if time.monotonic() > self._deadline:
                self.is_overdue = True
                raise _OverdueError
            if self._poll.poll(_LOOK_MILLISECONDS):
                size = os.readv(self._descriptor, [buffer])
                self.tail = (self.tail + bytes(memoryview(buffer)[max(0, size - 8) : size]))[-8:]
                return size


class _Sink:
    """A child's input, waited for as its output is."""

    def __init__(self, descriptor: int, deadline: float, checkpoint: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._deadline = deadline
        self._checkpoint = checkpoint
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.is_overdue = False

    def write(self, data: bytes) -> None:
        """Write all of it, as the child takes it."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                self._checkpoint()
                if time.monotonic() > self._deadline:
                    self.is_overdue = True
                    raise _OverdueError from None
                self._poll.poll(_LOOK_MILLISECONDS)


@contextmanager
def _started(module: str, told: IO[bytes], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process; it is gone when the context ends."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        # Others reserve address space far beyond what they use, which the limit would count.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        # Threads of numerical libraries, with a stack each.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **variables,
    }
    process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not flushed to a process that is gone
                    pipe.close()
        process.wait()


def _raise_why(code: int, told: IO[bytes], is_overdue: bool, why: Callable[[Death], SourceError]) -> NoReturn:
    told.seek(max(0, told.seek(0, os.SEEK_END) - _TOLD_BYTES))
    text = told.read(_TOLD_BYTES).decode("utf-8", "replace")
    if code == TOLD:
        error = json.loads(text.splitlines()[-1])
        raise error_of(error["code"], error["message"], **error["facts"])
    raise why(Death(exit_code=code, text=text, is_overdue=is_overdue))

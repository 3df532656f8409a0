"""A workbook parsed in a process of its own, which may take so much memory and so much time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Protocol

import pyarrow as pa

from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceError, SourceTooLargeError, error_of
from engine.staging.excel.child import TOLD, frame_of, request_json
from engine.staging.excel.sheet import Request
from engine.staging.limited_process import watched_pipe

MIB = 1024 * 1024


class Feed(Protocol):
    """Takes the next bytes of the shared strings, all of which come first, or of the sheet."""

    def __call__(self, block: bytes, *, is_strings: bool) -> None: ...


@contextmanager
def parsing(
    request: Request, feed: Callable[[Feed], None], config: EngineConfig, checkpoint: Callable[[], None]
) -> Iterator[pa.ipc.RecordBatchStreamReader]:
    """The table as the child's Arrow stream (see `child.write_table`), to be read within the context.

    Args:
        feed: looks through the workbook meanwhile, in this process, and hands over the parts that are read; what it
            raises ends the child.
        checkpoint: called several times a second while the child is waited for; what it raises ends the child.

    Raises:
        SourceTooLargeError: the child needed more memory or time than is allowed.
        SourceError, OptionError: what the child found wrong.
    """
    with tempfile.TemporaryFile() as told, _child(told, config) as (process, is_overdue):
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request_json(request, config.excel_memory_bytes))
            process.stdin.flush()
            feed(partial(_write_block, process.stdin))
            process.stdin.close()
            yield pa.ipc.open_stream(watched_pipe(process.stdout.fileno(), checkpoint))
            process.wait()
        except (pa.ArrowInvalid, OSError, EOFError) as error:  # it ended too soon
            process.wait()
            if not process.returncode:
                raise
            raise _why(process.returncode, told, is_overdue(), request, config) from error
        if process.returncode:
            raise _why(process.returncode, told, is_overdue(), request, config)


def _write_block(pipe: IO[bytes], block: bytes, *, is_strings: bool) -> None:
    pipe.write(frame_of(block, is_strings=is_strings))
    pipe.write(block)


@contextmanager
def _child(told: IO[bytes], config: EngineConfig) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], bool]]]:
    """The process, and whether its time ran out; it is gone when the context ends."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        # Others reserve address space far beyond what they use, which the limit would count.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        # Pieces of XML come and go by the hundred; their memory is not given back to the system each time.
        "MALLOC_MMAP_THRESHOLD_": str(64 * MIB),
        "MALLOC_TRIM_THRESHOLD_": str(256 * MIB),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.staging.excel.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=told,
        env=environment,
    )
    overdue = threading.Event()

    def end() -> None:
        overdue.set()
        process.kill()

    timer = threading.Timer(config.excel_timeout_seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield process, overdue.is_set
    finally:
        timer.cancel()
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not flushed to a process that is gone
                    pipe.close()
        process.wait()


def _why(code: int, told: IO[bytes], is_overdue: bool, request: Request, config: EngineConfig) -> SourceError:
    """The error behind an exit code: what the child told, or else the limit that it ran into."""
    told.seek(0)
    text = told.read(64 * 1024).decode("utf-8", "replace")
    if code == TOLD:
        error = json.loads(text)
        raise error_of(error["code"], error["message"], **error["facts"])
    if is_overdue:
        return SourceTooLargeError(
            f"{request.source} took longer to parse than the {config.excel_timeout_seconds:g} seconds that are "
            "allowed. Save its sheet as CSV and import that.",
            source=request.source,
            limit=config.excel_timeout_seconds,
        )
    if code < 0 or "memory" in text.lower():
        return SourceTooLargeError(
            f"{request.source} needs more than the {config.excel_memory_bytes // MIB:,} MiB of memory that are "
            "allowed to parse it. Delete what lies far off the table in its sheet, or save the sheet as CSV.",
            source=request.source,
            limit=config.excel_memory_bytes,
        )
    why = (text.strip().splitlines() or ["its parser ended without a reason"])[-1][:300]
    return SourceDamagedError(
        f"{request.source} cannot be read as a workbook: {why}. Open it in a spreadsheet program and save it again.",
        source=request.source,
    )

"""A workbook parsed in a process of its own, which may take so much memory and so much time."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from engine.config import MIB, EngineConfig
from engine.errors import SourceDamagedError, SourceError, SourceTooLargeError
from engine.staging.excel.child import frame_of, request_of
from engine.staging.excel.sheet import Request
from engine.staging.limited_process import Death, Limits, TableStream, table_of_process

_ENVIRONMENT = {
    # Pieces of XML come and go by the hundred; their memory is not given back to the system each time.
    "MALLOC_MMAP_THRESHOLD_": str(64 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(256 * MIB),
}
#: What the start of a sheet's XML says of its cells.
_EXTENT = re.compile(rb'<dimension ref="[A-Z]{1,3}[0-9]{1,7}:([A-Z]{1,3}[0-9]{1,7})"')


class Feed(Protocol):
    """Takes the next bytes of the shared strings, all of which come first, or of the sheet."""

    def __call__(self, block: bytes, *, is_strings: bool) -> None: ...


def parsing(
    request: Request, feed: Callable[[Feed], None], config: EngineConfig, checkpoint: Callable[[], None]
) -> AbstractContextManager[TableStream]:
    """The table as the child's Arrow stream (see `child.write_table`), to be read within the context.

    Args:
        feed: looks through the workbook meanwhile, in this process, and hands over the parts that are read; what it
            raises ends the child.
        checkpoint: called several times a second while the child is waited for; what it raises ends the child.

    Raises:
        SourceTooLargeError: the child needed more memory or time than is allowed.
        SourceError, OptionError: what the child found wrong.
    """

    start_of_sheet = b""

    def feed_framed(write: Callable[[bytes], None]) -> None:
        def write_block(block: bytes, *, is_strings: bool) -> None:
            nonlocal start_of_sheet
            if not is_strings and not start_of_sheet:
                start_of_sheet = block
            write(frame_of(block, is_strings=is_strings))
            write(block)

        feed(write_block)

    return table_of_process(
        "engine.staging.excel.child",
        request_of(request),
        Limits(memory_bytes=config.excel_memory_bytes, timeout_seconds=config.excel_timeout_seconds),
        why=lambda death: _why(death, request.source, start_of_sheet, config),
        checkpoint=checkpoint,
        feed=feed_framed,
        environment=_ENVIRONMENT,
    )


def _why(death: Death, source: str, start_of_sheet: bytes, config: EngineConfig) -> SourceError:
    if death.is_overdue:
        return SourceTooLargeError(
            f"{source} took longer to parse than the {config.excel_timeout_seconds:g} seconds that are "
            "allowed. Save its sheet as CSV and import that.",
            source=source,
            limit=config.excel_timeout_seconds,
        )
    # A library that gets no memory may end the process in several ways.
    if death.exit_code < 0 or death.is_of_memory:
        extent = _EXTENT.search(start_of_sheet)
        reach = f": its sheet reaches to the cell {extent[1].decode()}" if extent else ""
        return SourceTooLargeError(
            f"{source} needs more than the {config.excel_memory_bytes // MIB:,} MiB of memory that are "
            f"allowed to parse it{reach}. Delete what lies far off the table in its sheet, or save the sheet as CSV.",
            source=source,
            limit=config.excel_memory_bytes,
        )
    return SourceDamagedError(
        f"{source} cannot be read as a workbook: {death.last_words}. "
        "Open it in a spreadsheet program and save it again.",
        source=source,
    )

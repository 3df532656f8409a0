"""The two Excel files of a job, made by all workers together.

The process that merges makes the fragments from the first one on, and asks the executor for help with
them from the last one back. It waits for nobody: what it finds made it takes, what is missing when it
gets there it makes itself. So help that never comes, or dies, costs time only, and two that make the same
fragment write the same object. What is stored survives the death of the merging process as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine import failpoints
from engine.config import EngineConfig
from engine.coordinator.parts import parts_folder, parts_of_job, result_header_cells, result_key
from engine.coordinator.protocols import Executor
from engine.errors import ServiceUnavailableError
from engine.ledger import Ledger
from engine.model import Job, ResultFiles
from engine.options import ImportOptions
from engine.results import KINDS, PartKeys, ResultKind
from engine.results.sheet_fragments import CountedPart, Fragment, SheetFragments
from engine.results.xlsx import join_xlsx
from engine.storage import open_storage

logger = logging.getLogger(__name__)


class ExcelWork:
    """All fragments of a job, the success file's first, in one sequence of positions from 0."""

    def __init__(self, job: Job, ledger: Ledger, config: EngineConfig) -> None:
        self._job = job
        self._output = open_storage(job.output_url, config)
        self._files: dict[ResultKind, SheetFragments] = {}
        parts_of = {
            kind: [CountedPart(part=part, row_count=rows) for part, rows in parts_of_job(job, ledger, kind)]
            for kind in KINDS
        }
        # The fragments of a job that has failed with some rows are not those of its resumption with more.
        rows = sum(part.row_count for parts in parts_of.values() for part in parts)
        for kind, parts in parts_of.items():
            folder = f"{parts_folder(job)}/{PartKeys.job_prefix(job.job_id)}sheets/{rows}/{kind}"
            self._files[kind] = SheetFragments(self._output, folder, parts, temp_dir=config.temp_dir)

    @property
    def count(self) -> int:
        """How many positions there are."""
        return sum(file.count for file in self._files.values())

    def stored(self) -> dict[int, Fragment]:
        """What is there already, by position."""
        success, failed = (self._files[kind] for kind in KINDS)
        return success.stored() | {success.count + index: found for index, found in failed.stored().items()}

    def is_stored(self, position: int) -> bool:
        """Whether one is there already."""
        file, index = self._at(position)
        return file.is_stored(index)

    def make(self, position: int, *, should_stop: Callable[[], bool] = lambda: False) -> Fragment | None:
        """See `SheetFragments.make`."""
        file, index = self._at(position)
        return file.make(index, should_stop=should_stop)

    def discard(self, position: int, fragment: Fragment) -> None:
        """See `SheetFragments.discard`."""
        self._at(position)[0].discard(fragment)

    def join(self, made: dict[int, Fragment]) -> ResultFiles:
        """Make the two files of all the fragments."""
        options = ImportOptions.from_mapping(self._job.options)
        urls, start = {}, 0
        for kind, file in self._files.items():
            key = result_key(self._job, kind, "xlsx")
            header = result_header_cells(self._job, kind, options)
            join_xlsx(self._output, key, header, file, {index: made[start + index] for index in range(file.count)})
            urls[kind] = self._output.url_of(key)
            start += file.count
        return ResultFiles(success_url=urls["success"], failed_url=urls["failed"])

    def _at(self, position: int) -> tuple[SheetFragments, int]:
        success, failed = (self._files[kind] for kind in KINDS)
        return (success, position) if position < success.count else (failed, position - success.count)


def make_excel_files(job: Job, ledger: Ledger, config: EngineConfig, executor: Executor | None) -> ResultFiles:
    """Merge the parts into the two Excel files; a repeat goes on with the fragments that are there."""
    work = ExcelWork(job, ledger, config)
    stored = work.stored()
    last = work.count - 1
    if executor is not None:
        _ask_for_help(executor, job.job_id, last, max(0, min(config.window, last)))
    for position in range(work.count):
        if position in stored:
            continue
        if work.is_stored(position):
            # Helpers have come this far: most of what follows is there as well.
            stored = work.stored()
        elif (fragment := work.make(position)) is not None:
            stored[position] = fragment
            failpoints.hit("finish.fragment")
    return work.join(stored)


def _ask_for_help(executor: Executor, job_id: str, last: int, helpers: int) -> None:
    try:
        for position in range(last, last - helpers, -1):
            executor.send_help(job_id, position, helpers)
    except ServiceUnavailableError:
        logger.warning("broker away; merging alone", extra={"job_id": job_id}, exc_info=True)

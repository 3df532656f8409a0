"""Helping the process that merges a job: what `excel_results` asks the executor for."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.ledger import Ledger
from engine.model import Job
from engine.status import Phase

if TYPE_CHECKING:
    from engine.coordinator.excel_results import ExcelWork

logger = logging.getLogger(__name__)

#: Jobs of which a helper keeps the list of parts.
_KEPT_JOBS = 4


class MergeHelper:
    """Makes fragments of jobs that another process is merging."""

    def __init__(self, ledger: Ledger, config: EngineConfig) -> None:
        self._ledger = ledger
        self._config = config
        self._kept: OrderedDict[str, ExcelWork] = OrderedDict()

    def help(
        self, job_id: str, position: int, step: int, *, should_stop: Callable[[], bool] = lambda: False
    ) -> int | None:
        """Make the first missing fragment among `position`, `position - step` and so on.

        A repeat finds it made, and makes the next one. Nothing is done, and nothing left, once the job is
        merged. Never raises RowmillError: the merging process meets the same trouble, and tells.

        Returns:
            Where to go on; None when there is nothing left to do.
        """
        try:
            job = self._ledger.job(job_id)
            if job.phase is not Phase.MERGING:
                self._kept.pop(job_id, None)
                return None
            work = self._work(job)
            stored = work.stored()
            while position in stored:
                position -= step
            if position < 0 or (fragment := work.make(position, should_stop=should_stop)) is None:
                return None
            if self._ledger.job(job_id).phase is not Phase.MERGING:
                # Written after the job was swept.
                work.discard(position, fragment)
                return None
        except RowmillError as error:
            logger.warning("no help with the merge", extra={"job_id": job_id, "error_code": error.code})
            return None
        return position - step if position >= step else None

    def _work(self, job: Job) -> ExcelWork:
        if job.job_id not in self._kept:
            # Few processes ever make an Excel file; the others need not load the library.
            from engine.coordinator.excel_results import ExcelWork

            self._kept[job.job_id] = ExcelWork(job, self._ledger, self._config)
            if len(self._kept) > _KEPT_JOBS:
                self._kept.popitem(last=False)
        return self._kept[job.job_id]

"""The result files of a job, begun while its chunks still run, by a process that hears of each chunk's end.

Nothing depends on it: the merge takes a file that begins as it has to, or makes it from the first part on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Literal

from engine.config import EngineConfig
from engine.coordinator.parts import in_output, parts_folder, result_header, result_key
from engine.errors import RowmillError
from engine.ledger import Ledger
from engine.model import ChunkOutcome, Job
from engine.options import ImportOptions
from engine.results import KINDS, PartKeys, ResultKind
from engine.storage import Draft, open_storage

logger = logging.getLogger(__name__)

#: Chunks that are through from the first one on before it begins: of a small job the merge is nothing.
_LEAST_CHUNKS = 4


class ResultDrafts:
    """Appends the parts of committed chunks, in input order, in a thread of its own."""

    def __init__(self, job_id: str, ledger: Ledger, config: EngineConfig, *, done: Iterable[int], name: str) -> None:
        """
        Args:
            done: chunks that have been committed.
            name: of this process; letters, digits, `-` and `_`.
        """
        self._job_id = job_id
        self._ledger = ledger
        self._config = config
        self._name = name
        self._done = set(done)
        self._next = 0
        self._outcomes: SimpleQueue[ChunkOutcome | Literal["end is near"] | None] = SimpleQueue()
        self._end_is_near = False
        self._thread: threading.Thread | None = None
        self._drafts: dict[ResultKind, Draft] = {}
        self._is_unwanted = False

    def chunk_done(self, chunk_index: int) -> None:
        """Take in that a chunk was committed."""
        self._done.add(chunk_index)
        if self._next + len(self._done) < _LEAST_CHUNKS:
            return
        with suppress(RowmillError):  # the ledger is away; the next chunk's end comes back to it
            while self._next in self._done:
                outcome = self._ledger.outcome(self._job_id, self._next)
                if outcome is None:
                    return
                self._put(outcome)
                self._done.remove(self._next)
                self._next += 1

    def end_is_near(self) -> None:
        """Take in that the last chunks are being run. A repeat does nothing.

        The disk gets its work now, not from the first part on: that took turns with the workers' own reading and
        writing, and a run of 10,000,000 rows took a fifth longer.
        """
        if self._thread is not None and not self._end_is_near:
            self._end_is_near = True
            self._outcomes.put("end is near")

    def take(self) -> dict[ResultKind, Draft]:
        """What has grown so far, as it stands when all that was taken in has been appended. To be discarded."""
        self._end()
        return self._drafts

    def discard(self) -> None:
        """Remove what was not committed."""
        self._is_unwanted = True
        self._end()
        for draft in self._drafts.values():
            draft.discard()

    def _put(self, outcome: ChunkOutcome) -> None:
        if self._thread is None:
            job = self._ledger.job(self._job_id)
            self._thread = threading.Thread(target=self._run, args=[job], name="rowmill-drafts", daemon=True)
            self._thread.start()
        self._outcomes.put(outcome)

    def _end(self) -> None:
        if self._thread is not None:
            self._outcomes.put(None)
            self._thread.join()

    def _run(self, job: Job) -> None:
        try:
            if self._begin(job):
                while (outcome := self._outcomes.get()) is not None and not self._is_unwanted:
                    self._append(job, outcome)
        except RowmillError:
            logger.warning("result files not made ahead", extra={"job_id": self._job_id}, exc_info=True)
            self._drop()

    def _begin(self, job: Job) -> bool:
        """Whether there is anything to be gained."""
        options = ImportOptions.from_mapping(job.options)
        if not self._config.enable_result_files or options.output_format != "csv":
            return False
        output = open_storage(job.output_url, self._config)
        for kind in KINDS:
            # Among the parts, so that it is swept with them if nobody is left to discard it.
            folder = f"{parts_folder(job)}/{PartKeys.job_prefix(self._job_id)}"
            draft = output.draft(result_key(job, kind, "csv"), f"{folder}{self._name}.{kind}.draft")
            if draft is None:
                return False
            self._drafts[kind] = draft
            draft.append(result_header(job, kind, self._config))
        return True

    def _append(self, job: Job, outcome: ChunkOutcome | Literal["end is near"]) -> None:
        if outcome == "end is near":
            for draft in self._drafts.values():
                draft.start_writeback()
            return
        parts = {"success": outcome.success_part, "failed": outcome.failed_part}
        for kind, draft in self._drafts.items():
            part = parts[kind]
            if part is not None:
                draft.append(in_output(part, job))

    def _drop(self) -> None:
        for draft in self._drafts.values():
            draft.discard()
        self._drafts = {}

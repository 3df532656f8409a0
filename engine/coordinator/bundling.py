"""Small parts on their way to the merge: joined by the workers, some chunks at a time, while later chunks run.

S3 joins large objects by itself; smaller ones have to be read and written again. One process would do so with all of
them at the end, while the others wait. So whoever ends the last chunk of a group stores the group's parts as one
object. Groups are so many chunks as make some 16 MiB of the source. What is not there at the end, for whatever
reason, is not missed (`engine.results.bundles`).
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from engine import failpoints
from engine.config import EngineConfig
from engine.coordinator.parts import parts_folder
from engine.errors import OutputNotWritableError, RowmillError, StorageError
from engine.ledger import Ledger
from engine.model import ChunkOutcome, Job, Part
from engine.results import KINDS, ResultKind, bundles
from engine.results.bundles import Bundle
from engine.status import Phase, Status
from engine.storage import Storage, open_storage
from engine.storage.part_checks import read_part

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
#: Of the source, for a group.
GROUP_BYTES = 16 * MIB
#: Fewer parts than these are not worth an object of their own, nor a look for it; more would wait for each other.
LEAST_PARTS, _MOST_CHUNKS = 4, 512
#: Parts fetched at once.
_READ_THREADS = 8
#: Jobs of which a process knows the groups.
_KEPT_JOBS = 16


class Bundling:
    """Joins the parts of a group of chunks."""

    def __init__(self, ledger: Ledger, config: EngineConfig) -> None:
        self._ledger = ledger
        self._config = config
        self._kept: OrderedDict[str, int] = OrderedDict()

    def bundle(self, job_id: str, chunk_index: int) -> None:
        """Store the parts of the chunk's group as one object of each kind, if the chunk was the last of them to end.

        A repeat, or two at once, store it twice, and one of them is used. Never raises RowmillError: the merge meets
        the same trouble, and tells.
        """
        try:
            size = self._group_chunks(job_id)
            if size < LEAST_PARTS:
                return
            start = chunk_index // size * size
            outcomes = self._ledger.done_outcomes(job_id, range(start, start + size))
            if outcomes is not None:
                self._store(self._ledger.job(job_id), outcomes)
        except RowmillError as error:
            facts = {"job_id": job_id, "chunk_index": chunk_index, "error_code": error.code}
            logger.warning("parts not bundled", extra=facts)

    def _group_chunks(self, job_id: str) -> int:
        """How many chunks a group of the job has; 0 where nothing would be gained, or that is not known yet."""
        if job_id in self._kept:
            return self._kept[job_id]
        job = self._ledger.job(job_id)
        if job.phase is not Phase.PROCESSING:
            return 0
        size = _group_chunks(self._ledger, job) if can_gain(job, self._config) else 0
        self._kept[job_id] = size
        if len(self._kept) > _KEPT_JOBS:
            self._kept.popitem(last=False)
        return size

    def _store(self, job: Job, outcomes: Sequence[tuple[int, ChunkOutcome]]) -> None:
        storage = open_storage(job.workspace_url, self._config)
        for kind in KINDS:
            found = ((index, _part(outcome, kind)) for index, outcome in outcomes)
            parts = [(index, part) for index, part in found if part is not None]
            if not is_worth_it([part for _, part in parts], storage):
                continue
            bundle = bundles.bundle_of(parts, os.urandom(8).hex())
            if bundle is not None:
                self._write(job, storage, kind, bundle, [part for _, part in parts])

    def _write(self, job: Job, storage: Storage, kind: ResultKind, bundle: Bundle, parts: Sequence[Part]) -> None:
        key, seal = bundle.key(job.job_id, kind), bundle.seal_key(job.job_id, kind)

        def read(part: Part) -> bytes:
            return read_part(partial(storage.read_range, part.key, 0, part.size_bytes), part)

        with ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="bundle") as threads:
            storage.write(key, list(threads.map(read, parts)))
        failpoints.hit("bundle.stored")
        storage.write(seal, b"")
        if self._ledger.job(job.job_id).status in (Status.SUCCEEDED, Status.CANCELLED):
            # Written after the job was swept.
            storage.delete([key, seal])


def can_gain(job: Job, config: EngineConfig) -> bool:
    """Whether its results are CSV files on a storage that does not join small objects by itself."""
    if not config.enable_result_files or job.options.get("output_format") == "xlsx":
        return False
    return open_storage(job.output_url, config).least_copied_bytes > 0


def is_worth_it(parts: Sequence[Part], storage: Storage) -> bool:
    """Whether so many of the parts are small."""
    return sum(part.size_bytes < storage.least_copied_bytes for part in parts) >= LEAST_PARTS


def in_fewer_pieces(job: Job, kind: ResultKind, output: Storage, parts: Sequence[tuple[int, Part]]) -> list[Part]:
    """The parts of a result file, each with its chunk, with bundles in place of those that are in one.

    Args:
        output: the root that the parts' keys are counted from.
    """
    plain = [part for _, part in parts]
    if not is_worth_it(plain, output):
        return plain
    folder = parts_folder(job)
    try:
        found = bundles.sealed_bundles(output.list(f"{folder}/{bundles.prefix(job.job_id, kind)}"))
    except (StorageError, OutputNotWritableError):
        logger.warning("bundles not found", extra={"job_id": job.job_id}, exc_info=True)
        return plain
    return [
        Part(key=f"{folder}/{piece.key(job.job_id, kind)}", size_bytes=piece.size_bytes, crc32=piece.crc32)
        if isinstance(piece, Bundle)
        else piece
        for piece in bundles.with_bundles(parts, found)
    ]


def _group_chunks(ledger: Ledger, job: Job) -> int:
    """By the first chunk: the others are about as large."""
    state = next(iter(ledger.chunk_states(job.job_id)), None)
    if state is None:
        return 0
    chunk_bytes = max(1, state.chunk.byte_end - state.chunk.byte_start)
    return min(-(-GROUP_BYTES // chunk_bytes), _MOST_CHUNKS)


def _part(outcome: ChunkOutcome, kind: ResultKind) -> Part | None:
    return outcome.success_part if kind == "success" else outcome.failed_part

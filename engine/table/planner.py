"""One planner for every kind of source: the content, never the name, says which it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.config import EngineConfig
from engine.model import Chunk, Plan, Source
from engine.options import ImportOptions
from engine.readers import SourceKind
from engine.storage import Storage
from engine.table.checkpoints import Checkpoint, no_checkpoint
from engine.table.known_ranges import KnownRanges
from engine.table.look import Look
from engine.table.staged import StagedPlanner, source_kind, stager_of
from engine.table.text import TextPlanner

if TYPE_CHECKING:
    from engine.table.packed import Planner


class TablePlanner:
    """Plans one source: first a look at it, then its chunks, in the order of the methods here."""

    def __init__(
        self,
        source: Source,
        options: ImportOptions,
        config: EngineConfig,
        *,
        workspace: Callable[[], Storage],
        job_id: str,
        start_only: bool = False,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """
        Args:
            source: as pinned.
            workspace: gives the storage for a staged copy, if one is needed.
            job_id: names the staged copy.
            start_only: stage no more than it takes to show the first rows; there are no others then.
            checkpoint: called several times a second while `look` stages; what it raises ends that, and nothing is
                left in the workspace.
        """
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._start_only = start_only
        self._checkpoint = checkpoint
        self._planner: Planner | None = None

    def look(self) -> Look:
        """Find how the source is written, its header and where the data begins; stage it where it has to be.

        Raises:
            SourceError: the source is not a table.
            OutputNotWritableError: a staged copy cannot be written.
        """
        known = KnownRanges(self._source, self._config)
        kind = source_kind(known, self._options, self._config)
        self._planner = self._planner_of(kind, self._source, self._options, known)
        return self._planner.look()

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]:
        """Yield the chunks in order, some at a time; what has to be scanned for them is read once.

        Raises:
            SourceChangedError: the source is no longer the pinned one.
        """
        return self._chosen.chunks(plan)

    @property
    def total_rows(self) -> int:
        """Data rows of the source; known when `chunks` has ended."""
        return self._chosen.total_rows

    def settle_encoding(self, plan: Plan) -> Plan:
        """The plan with the encoding that the whole source speaks for, after `chunks` has ended."""
        return self._chosen.settle_encoding(plan)

    def _planner_of(
        self, kind: SourceKind, source: Source, options: ImportOptions, known: KnownRanges | None = None
    ) -> Planner:
        workspace, job_id = self._workspace, self._job_id
        if kind.is_packed:
            from engine.table.packed import PackedPlanner

            return PackedPlanner(
                source, options, self._config, workspace=workspace, job_id=job_id, kind=kind,
                planner_of=self._planner_of, start_only=self._start_only, checkpoint=self._checkpoint,
            )  # fmt: skip
        if self._start_only and kind is SourceKind.NDJSON:
            from engine.table.packed import START_BYTES

            source = replace(source, size_bytes=min(source.size_bytes, START_BYTES))
        stager = stager_of(kind, source, start_only=self._start_only)
        if stager is None:
            return TextPlanner(
                source, options, self._config, workspace=workspace, job_id=job_id, checkpoint=self._checkpoint,
                known=known,
            )  # fmt: skip
        return StagedPlanner(
            source, options, self._config, workspace=workspace, job_id=job_id, stager=stager,
            checkpoint=self._checkpoint,
        )  # fmt: skip

    @property
    def _chosen(self) -> Planner:
        assert self._planner is not None, "look comes first"
        return self._planner

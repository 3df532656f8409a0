"""One planner for every kind of source: the content, never the name, says which it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from engine.config import EngineConfig
from engine.model import Chunk, Plan, Source
from engine.options import ImportOptions
from engine.storage import Storage
from engine.table.look import Look
from engine.table.staged import STAGERS, StagedPlanner, source_kind
from engine.table.text import TextPlanner


class _Planner(Protocol):
    """What each kind of source has; see `TablePlanner`."""

    def look(self) -> Look: ...

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]: ...

    @property
    def total_rows(self) -> int: ...

    def settle_encoding(self, plan: Plan) -> Plan: ...


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
    ) -> None:
        """
        Args:
            source: as pinned.
            workspace: gives the storage for a staged copy, if one is needed.
            job_id: names the staged copy.
        """
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._planner: _Planner | None = None

    def look(self) -> Look:
        """Find how the source is written, its header and where the data begins; stage it where it has to be.

        Raises:
            SourceError: the source is not a table.
            OutputNotWritableError: a staged copy cannot be written.
        """
        stager = STAGERS.get(source_kind(self._source, self._config))
        args = self._source, self._options, self._config
        if stager is None:
            self._planner = TextPlanner(*args, workspace=self._workspace, job_id=self._job_id)
        else:
            self._planner = StagedPlanner(*args, workspace=self._workspace, job_id=self._job_id, stager=stager)
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

    @property
    def _chosen(self) -> _Planner:
        assert self._planner is not None, "look comes first"
        return self._planner

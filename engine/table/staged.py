"""Sources that cannot be entered midway: staged whole as Arrow record batches, which then are the chunks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from engine.config import EngineConfig
from engine.model import Chunk, Dialect, Plan, Source
from engine.options import ImportOptions
from engine.planner import DEFAULT_CHUNK_SIZE
from engine.readers.magic import KIND_BYTES, kind_of_head
from engine.staging import staged_key
from engine.storage import Storage, open_location
from engine.table.look import Look

if TYPE_CHECKING:
    from engine.staging.arrow import StagedTable


class Stager(Protocol):
    """Reads one kind of source and stages it."""

    def __call__(
        self,
        source: Source,
        options: ImportOptions,
        config: EngineConfig,
        target: Storage,
        target_key: str,
        *,
        chunk_size: int,
    ) -> StagedTable:
        """Stage the source; it is read once, and only the version that is pinned.

        Raises:
            SourceError: it is not what its kind says, or not a table.
            OutputNotWritableError: the target refuses writes.
        """


class StagedPlanner:
    """See `TablePlanner`; the staging is the scan, and `look` does it."""

    def __init__(
        self,
        source: Source,
        options: ImportOptions,
        config: EngineConfig,
        *,
        workspace: Callable[[], Storage],
        job_id: str,
        stager: Stager,
    ) -> None:
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._stager = stager
        self._staged: StagedTable | None = None

    def look(self) -> Look:
        # A key of its own each time: chunks of an earlier plan of the job may be running over its copy.
        staged = self._stager(
            self._source,
            self._options,
            self._config,
            self._workspace(),
            staged_key(self._job_id, f"{secrets.token_hex(4)}.arrow"),
            chunk_size=self._options.chunk_size or DEFAULT_CHUNK_SIZE,
        )
        self._staged = staged
        plan = Plan(
            form="arrow",
            dialect=Dialect(),
            header=staged.header_records[-1] if staged.header_records else (),
            column_count=staged.column_count,
            data_start=staged.data_start,
            readable=staged.readable,
            details=staged.details,
        )
        return Look(
            plan=plan, confidence=1.0, source_encoding="utf-8", mark_bytes=0, header_records=staged.header_records
        )

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]:
        assert self._staged is not None, "look comes first"
        assert self._staged.readable == plan.readable, "the plan is another look's"
        if self._staged.chunks:
            yield self._staged.chunks

    @property
    def total_rows(self) -> int:
        assert self._staged is not None, "look comes first"
        return self._staged.total_rows

    def settle_encoding(self, plan: Plan) -> Plan:
        return plan


def source_kind(source: Source, config: EngineConfig) -> str:
    """What the content says that the source is: a key of `STAGERS`, or "text"."""
    storage, key = open_location(source.url, config)
    return kind_of_head(storage.read_range(key, 0, min(source.size_bytes, KIND_BYTES), etag=source.etag))


#: Kind of source → what stages it; a kind that is not here is read as text.
STAGERS: Mapping[str, Stager] = MappingProxyType({})

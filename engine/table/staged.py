"""Sources that cannot be entered midway: staged whole as Arrow record batches, which then are the chunks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from engine.config import EngineConfig
from engine.errors import SourceBinaryError
from engine.model import Chunk, Dialect, Plan, Source
from engine.options import ImportOptions
from engine.planner import DEFAULT_CHUNK_SIZE
from engine.readers import SourceKind, tell_kind
from engine.results import added_column_of
from engine.staging import staged_key
from engine.storage import Storage, open_location, open_object
from engine.table.checkpoints import Checkpoint
from engine.table.known_ranges import KnownRanges
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
        checkpoint: Checkpoint,
    ) -> StagedTable:
        """Stage the source; only the version that is pinned is read.

        Args:
            checkpoint: called several times a second; what it raises ends the staging.

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
        checkpoint: Checkpoint,
    ) -> None:
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._stager = stager
        self._checkpoint = checkpoint
        self._staged: StagedTable | None = None

    def look(self) -> Look:
        # A key of its own each time: chunks of an earlier plan of the job may be running over its copy.
        staged = self._stager(
            self._source,
            self._options,
            self._config,
            self._workspace(),
            staged_key(self._job_id, f"{os.urandom(4).hex()}.arrow"),
            chunk_size=self._options.chunk_size or DEFAULT_CHUNK_SIZE,
            checkpoint=self._checkpoint,
        )
        self._staged = staged
        header = staged.header_records[-1] if staged.header_records else ()
        added = added_column_of(header, self._options.added_columns) if len(header) == staged.column_count else None
        plan = Plan(
            form="arrow",
            dialect=Dialect(),
            header=header[:-1] if added else header,
            column_count=staged.column_count - (added is not None),
            data_start=staged.data_start,
            readable=staged.readable,
            added_column=added,
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


def source_kind(known: KnownRanges, options: ImportOptions, config: EngineConfig) -> SourceKind:
    """What the content says that a source is.

    Raises:
        SourceError: as `tell_kind`, where it is no table.
    """
    source = known.source
    storage, key = open_location(source.url, config)
    return tell_kind(
        open_object(storage, key, size_bytes=source.size_bytes, etag=source.etag),
        known.head,
        size_bytes=source.size_bytes,
        source=source.url,
        is_csv=options.delimiter is not None,
        max_entries=config.max_archive_entries,
    )


def stager_of(kind: SourceKind, source: Source, *, start_only: bool = False) -> Stager | None:
    """What stages a kind of source, or the first rows of it; None for text, which needs none.

    Raises:
        SourceBinaryError: nothing reads this kind.
    """
    if kind is SourceKind.TEXT:
        return None
    if kind.is_workbook:
        return partial(_stage_workbook, kind=kind)
    if start_only and kind is SourceKind.PARQUET:
        return partial(_stage_parquet, start_only=True)
    stager = STAGERS.get(str(kind))
    if stager is None:
        raise SourceBinaryError(f"{source.url} is {kind}, which is not read. Save it as CSV.", source=source.url)
    return stager


# Imported when they are called: text needs no pyarrow, which takes its time to load.
def _stage_ndjson(*args: Any, **settings: Any) -> StagedTable:
    from engine.table.stage_ndjson import stage_ndjson

    return stage_ndjson(*args, **settings)


def _stage_parquet(*args: Any, **settings: Any) -> StagedTable:
    from engine.table.stage_parquet import stage_parquet

    return stage_parquet(*args, **settings)


def _stage_workbook(
    source: Source,
    options: ImportOptions,
    config: EngineConfig,
    target: Storage,
    target_key: str,
    *,
    kind: SourceKind,
    chunk_size: int,
    checkpoint: Checkpoint,
) -> StagedTable:
    from engine.readers.workbook_check import check_workbook
    from engine.staging.excel.stage import stage_workbook

    if kind not in config.excel_formats.split(","):
        raise SourceBinaryError(
            f"{source.url} is an Excel workbook of the kind {kind}; this installation reads {config.excel_formats}. "
            "Save it as one of those, or as CSV.",
            source=source.url,
        )
    return stage_workbook(
        source,
        options,
        config,
        target,
        target_key,
        kind=str(kind),
        chunk_size=chunk_size,
        checkpoint=checkpoint,
        check=partial(check_workbook, config=config, source=source.url),
    )


#: Kind of source, but for text and workbooks, → what stages it.
STAGERS: Mapping[str, Stager] = MappingProxyType({"ndjson": _stage_ndjson, "parquet": _stage_parquet})

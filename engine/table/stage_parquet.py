"""Parquet → a staged table, by a process of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

from engine.config import MIB, EngineConfig
from engine.errors import SourceDamagedError, SourceError, SourceProtectedError, SourceTooLargeError
from engine.model import Source
from engine.options import ImportOptions
from engine.staging.arrow import StagedTable, stage_as_arrow
from engine.staging.limited_process import Death, Limits, table_of_process
from engine.storage import Storage
from engine.table.checkpoints import Checkpoint
from engine.table.parquet_child import NAMES_KEY, request_of


def stage_parquet(
    source: Source,
    options: ImportOptions,
    config: EngineConfig,
    target: Storage,
    target_key: str,
    *,
    chunk_size: int,
    checkpoint: Checkpoint,
    start_only: bool = False,
) -> StagedTable:
    """See `Stager`. The names of the columns are the header, whatever `header_rows` says: every row is a row.

    Memory of this process is that of one batch; the reader's is `config.parquet_memory_bytes` at most.
    """
    del options  # there is nothing to choose
    limits = Limits(memory_bytes=config.parquet_memory_bytes, timeout_seconds=config.parquet_timeout_seconds)
    with table_of_process(
        "engine.table.parquet_child",
        request_of(source, config),
        limits,
        why=lambda death: _why(death, source.url, limits),
        checkpoint=checkpoint,
    ) as table:
        names = tuple(json.loads(table.schema.metadata[NAMES_KEY]))
        staged = stage_as_arrow(
            islice(table, 1) if start_only else table,
            len(names),
            target,
            target_key,
            chunk_size=chunk_size,
            max_chunk_bytes=config.max_chunk_bytes,
        )
    return replace(staged, header_records=(names,), details={"kind": "parquet"})


def _why(death: Death, source: str, limits: Limits) -> SourceError:
    if death.is_overdue:
        return SourceTooLargeError(
            f"{source} took longer to read than the {limits.timeout_seconds:g} seconds that are allowed. Split it.",
            source=source,
            limit=limits.timeout_seconds,
        )
    if death.is_of_memory:
        return SourceTooLargeError(
            f"{source} needs more than the {limits.memory_bytes // MIB:,} MiB of memory that are allowed to read it: "
            "a page of it is huge, or claims to be. Write it in smaller pages, or as CSV.",
            source=source,
            limit=limits.memory_bytes,
        )
    if "decrypt" in death.text:
        return SourceProtectedError(f"{source} has encrypted columns. Write it without encryption.", source=source)
    return SourceDamagedError(
        f"{source} is damaged: it is not readable as Parquet ({death.last_words}). Write it again.", source=source
    )

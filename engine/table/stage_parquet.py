"""Parquet → a staged table."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from engine.config import EngineConfig
from engine.model import Source
from engine.options import ImportOptions
from engine.readers.parquet import ParquetReader
from engine.staging.arrow import StagedTable, stage_as_arrow
from engine.storage import ObjectFile, Storage, open_location


def stage_parquet(
    source: Source,
    options: ImportOptions,
    config: EngineConfig,
    target: Storage,
    target_key: str,
    *,
    chunk_size: int,
    start_only: bool = False,
) -> StagedTable:
    """See `Stager`. The names of the columns are the header, whatever `header_rows` says: every row is a row."""
    del options  # there is nothing to choose
    storage, key = open_location(source.url, config)
    with ObjectFile(storage, key, size_bytes=source.size_bytes, etag=source.etag) as file:
        reader = ParquetReader(file, config, size_bytes=source.size_bytes, source=source.url)
        staged = stage_as_arrow(
            islice(reader.batches(), 1 if start_only else None),
            len(reader.columns),
            target,
            target_key,
            chunk_size=chunk_size,
            max_chunk_bytes=config.max_chunk_bytes,
        )
    return replace(staged, header_records=(reader.columns,), details={"kind": "parquet"})

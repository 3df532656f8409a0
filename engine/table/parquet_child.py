"""The process that reads one Parquet file: a request on stdin, an Arrow stream of text on stdout."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from engine.arrow_form import schema_of
from engine.config import EngineConfig
from engine.model import Source
from engine.readers.parquet import ParquetReader
from engine.staging.limited_process import run_limited
from engine.storage import ObjectFile, open_location

#: Key of the stream's schema under which the names of the columns stand.
NAMES_KEY = b"rowmill"
#: What the child need not know of a configuration.
_NOT_TOLD = ("redis_url", "ledger_url")


def request_of(source: Source, config: EngineConfig) -> dict[str, Any]:
    """What `write_table` is told."""
    known = {name: value for name, value in asdict(config).items() if name not in _NOT_TOLD}
    return {"source": asdict(source), "config": known}


def write_table(request: dict[str, Any]) -> None:
    """Write the table in the staged form; the names of its columns stand in the schema.

    Raises:
        SourceError: as `ParquetReader`.
        StorageError: the source cannot be read.
    """
    source, config = Source(**request["source"]), EngineConfig(**request["config"])
    storage, key = open_location(source.url, config)
    with ObjectFile(storage, key, size_bytes=source.size_bytes, etag=source.etag) as file:
        reader = ParquetReader(file, config, size_bytes=source.size_bytes, source=source.url)
        reader.learn_column_sizes()
        schema = schema_of(len(reader.columns)).with_metadata({NAMES_KEY: json.dumps(reader.columns)})
        with pa.ipc.new_stream(sys.stdout.buffer, schema) as writer:
            sys.stdout.buffer.flush()
            for batch in reader.batches():
                writer.write_batch(batch)
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    run_limited(write_table)

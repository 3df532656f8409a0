"""A workbook to staged batches, and nothing behind it: what `fastexcel alone` is compared with.

`python -m benchmarks.stage_workbook WORKBOOK FOLDER`
"""

from __future__ import annotations

import json
import sys

from engine.config import EngineConfig
from engine.model import Source
from engine.options import ImportOptions
from engine.planner import DEFAULT_CHUNK_SIZE
from engine.storage import open_location
from engine.table.checkpoints import no_checkpoint
from engine.table.known_ranges import KnownRanges
from engine.table.staged import source_kind, stager_of


def main(workbook: str, folder: str) -> None:
    """Stage it as a job does, its look for bombs included, and tell how many rows there are."""
    config, options = EngineConfig(), ImportOptions()
    storage, key = open_location(workbook, config)
    info = storage.stat(key)
    source = Source(url=workbook, size_bytes=info.size_bytes, etag=info.etag)
    target, _ = open_location(f"{folder}/staged", config)
    stager = stager_of(source_kind(KnownRanges(source, config), options, config), source)
    assert stager is not None, "a workbook is staged"
    staged = stager(
        source, options, config, target, "staged.arrow", chunk_size=DEFAULT_CHUNK_SIZE, checkpoint=no_checkpoint
    )
    print(json.dumps({"rows": staged.total_rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])

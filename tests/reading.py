"""Reads a table given as bytes through the engine's own planner, chunk by chunk, as a job would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import EngineConfig
from engine.model import Chunk, Plan
from engine.options import ImportOptions
from engine.readers import BrokenRow, Row
from engine.storage import open_location, open_storage
from engine.table import Look, TablePlanner, pin_source, read_chunk


@dataclass(frozen=True)
class Reading:
    """What came of reading a source."""

    look: Look
    plan: Plan
    chunks: list[Chunk]
    rows: list[Row]
    total_rows: int

    @property
    def good_rows(self) -> list[list[str]]:
        """Without the broken ones."""
        return [row for row in self.rows if not isinstance(row, BrokenRow)]


def read(path: Path, data: bytes | None = None, config: EngineConfig | None = None, **options: Any) -> Reading:
    """Plan and read the source at `path`, after `data` was written to it, chunk by chunk.

    Checks on the way that each chunk has as many rows as planned.
    """
    if data is not None:
        path.write_bytes(data)
    config = config or EngineConfig()
    source = pin_source(str(path), config)
    planner = TablePlanner(
        source,
        ImportOptions.from_mapping(options),
        config,
        workspace=lambda: open_storage(str(path.parent / "workspace"), config),
        job_id="job",
    )
    look = planner.look()
    chunks = [chunk for found in planner.chunks(look.plan) for chunk in found]
    plan = planner.settle_encoding(look.plan)
    storage, key = open_location(plan.readable.url, config)
    rows: list[Row] = []
    for chunk in chunks:
        of_chunk = list(read_chunk(storage, key, plan, chunk, config))
        assert len(of_chunk) == chunk.row_count, chunk
        rows.extend(of_chunk)
    assert planner.total_rows == len(rows)
    return Reading(look, plan, chunks, rows, planner.total_rows)

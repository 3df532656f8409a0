"""How large the chunks of a job are to be, where its options do not say. Pure; result files do not depend on it.

A chunk costs some 15 ms beside its rows, and what runs when its process is killed runs again: so it is
to last seconds, whatever its rows cost. What they cost is known from earlier chunks of the same handler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024
#: Rows where nothing is known of the handler: at most 25 s with one that takes a millisecond for a row.
UNKNOWN_ROWS = {"row": 25_000, "batch": 50_000}
#: Seconds that a chunk is to last. Rows that turn out five times dearer keep it below 25 s, the time a deploy waits.
TARGET_SECONDS = 5.0
#: Rows of a chunk: fewer are not worth its fixed cost unless a row takes seconds, more would be many in memory where
#: rows are short.
LEAST_ROWS, MOST_ROWS = 10, 100_000
#: Parts of so many chunks keep the workers equally busy to the end.
_CHUNKS_OF_A_JOB = 16
#: Bytes of a chunk. From 5 MiB S3 joins parts by itself; a half more costs fewer chunks and little memory.
_LEAST_BYTES, _MOST_BYTES = 2 * MIB, 7 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """A chunk ends at whichever comes first."""

    rows: int
    max_bytes: int


def fitting_sizes(
    mode: Literal["row", "batch"], seconds_per_row: float | None, *, source_bytes: int, max_chunk_bytes: int
) -> ChunkSizes:
    """Sizes for a job.

    Args:
        seconds_per_row: as measured with its handler; None where it never ran.
        source_bytes: of the whole source.
        max_chunk_bytes: what memory allows.
    """
    if not seconds_per_row:
        return ChunkSizes(rows=UNKNOWN_ROWS[mode], max_bytes=max_chunk_bytes)
    rows = min(max(int(TARGET_SECONDS / seconds_per_row), LEAST_ROWS), MOST_ROWS)
    fair_bytes = min(max(source_bytes // _CHUNKS_OF_A_JOB, _LEAST_BYTES), _MOST_BYTES)
    return ChunkSizes(rows=rows, max_bytes=min(fair_bytes, max_chunk_bytes))

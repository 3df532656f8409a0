"""How large the chunks of a job are to be, where its options do not say. Pure; result files do not depend on it.

A chunk costs some 15 ms beside its rows, and what runs when its process is killed runs again: so it is
to last seconds, whatever its rows cost. What they cost is known from earlier chunks of the same handler; in its first
import once the first chunk is through, and the chunks that nobody has begun by then become larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zlib_ng.zlib_ng import crc32_combine

from engine.model import Chunk

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
#: Bytes of a chunk whose part has, with what results add and refusals take, the 5 MiB of S3.
_COPIED_BYTES = 5 * MIB + 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """A chunk ends at whichever comes first."""

    rows: int
    max_bytes: int
    guessed: bool = False
    """Nothing is known of the handler."""


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
        return ChunkSizes(rows=UNKNOWN_ROWS[mode], max_bytes=max_chunk_bytes, guessed=True)
    rows = min(max(int(TARGET_SECONDS / seconds_per_row), LEAST_ROWS), MOST_ROWS)
    fair_bytes = min(max(source_bytes // _CHUNKS_OF_A_JOB, _LEAST_BYTES), _MOST_BYTES)
    return ChunkSizes(rows=rows, max_bytes=min(fair_bytes, max_chunk_bytes))


def enlarged(chunks: Sequence[Chunk], sizes: ChunkSizes, *, max_chunk_bytes: int) -> list[Chunk]:
    """Chunks that take in those behind them as far as the sizes allow; those that would stay as they are left out.

    Each begins as one of the given ones does, and ends as a later one. Between two that are far from each other
    nothing is taken in. A chunk whose part S3 would not copy by itself may become larger than `sizes.max_bytes`.

    Args:
        chunks: in order.
        max_chunk_bytes: what memory allows.
    """
    found: list[Chunk] = []
    grown: Chunk | None = None
    has_grown = False
    for chunk in chunks:
        if grown is not None and _may_take_in(grown, chunk, sizes, max_chunk_bytes):
            grown, has_grown = _with_next(grown, chunk), True
            continue
        if grown is not None and has_grown:
            found.append(grown)
        grown, has_grown = chunk, False
    if grown is not None and has_grown:
        found.append(grown)
    return found


def _may_take_in(chunk: Chunk, following: Chunk, sizes: ChunkSizes, max_chunk_bytes: int) -> bool:
    if following.byte_start != chunk.byte_end or chunk.row_count + following.row_count > sizes.rows:
        return False
    if 1 in (chunk.row_count, following.row_count):
        return False  # of a record that is too long only the start is read
    own_bytes, both_bytes = chunk.byte_end - chunk.byte_start, following.byte_end - chunk.byte_start
    if both_bytes > max_chunk_bytes:
        return False
    wants_copy = sizes.max_bytes > _COPIED_BYTES > own_bytes
    return both_bytes <= sizes.max_bytes or wants_copy


def _with_next(chunk: Chunk, following: Chunk) -> Chunk:
    found = None
    if chunk.crc32 is not None and following.crc32 is not None:
        found = crc32_combine(chunk.crc32, following.crc32, following.byte_end - following.byte_start)
    return replace(
        chunk,
        byte_end=following.byte_end,
        row_count=chunk.row_count + following.row_count,
        irregular=chunk.irregular or following.irregular,
        crc32=found,
    )

"""Record ends → chunks. Pure: what goes in is sequences of numbers, what comes out is values."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from engine.model import Chunk

#: Rows of a chunk in row mode: seconds of work for a handler that writes to a database, and well
#: above the fixed cost of a chunk for one that does not.
DEFAULT_CHUNK_SIZE = 25_000


class ChunkCutter:
    """Gathers records and cuts a chunk whenever one is full.

    A chunk is full at `chunk_size` rows, or with the record before the one that would take it
    over `max_chunk_bytes`. A record that is longer than that gets a chunk of its own. Where chunks
    are cut depends only on the records, not on how they arrive.
    """

    def __init__(self, *, start: int, chunk_size: int, max_chunk_bytes: int, first_line_number: int = 1) -> None:
        """
        Args:
            start: absolute byte offset of the first record.
            chunk_size: rows of a chunk, at most.
            max_chunk_bytes: bytes of a chunk, at most.
            first_line_number: 1-based physical line on which the first record starts.
        """
        self._chunk_size = chunk_size
        self._max_chunk_bytes = max_chunk_bytes
        self._start = start
        self._end = start
        self._rows = 0
        self._broken = False
        self._next_index = 0
        self._row_index = 1
        self._line_number = first_line_number
        self._lines_in_chunk = 0

    @property
    def total_rows(self) -> int:
        """Rows taken in so far."""
        return self._row_index - 1 + self._rows

    def feed(self, ends: Sequence[int], line_counts: Sequence[int], broken: bytes) -> Iterator[Chunk]:
        """Take in the next records and yield the chunks that are full.

        Args:
            ends: offsets behind each record, ascending.
            line_counts: physical lines of these records up to and with each one.
            broken: 1 for each record that is broken, else 0; empty where none is.
        """
        taken, lines_taken = 0, 0
        while taken < len(ends):
            by_rows = taken + self._chunk_size - self._rows
            by_bytes = bisect_right(ends, self._start + self._max_chunk_bytes)
            stop = min(by_rows, by_bytes, len(ends))
            if stop <= taken and self._rows == 0:
                stop = taken + 1
            if stop > taken:
                self._end = ends[stop - 1]
                self._rows += stop - taken
                self._broken = self._broken or b"\1" in broken[taken:stop]
                lines = line_counts[stop - 1]
                self._lines_in_chunk += lines - lines_taken
                taken, lines_taken = stop, lines
            if self._rows == self._chunk_size or stop < len(ends):
                yield self._cut()

    def finish(self) -> Iterator[Chunk]:
        """Yield what is left as the last chunk, if anything is."""
        if self._rows:
            yield self._cut()

    def _cut(self) -> Chunk:
        chunk = Chunk(
            chunk_index=self._next_index,
            byte_start=self._start,
            byte_end=self._end,
            first_row_index=self._row_index,
            row_count=self._rows,
            first_line_number=self._line_number,
            irregular=self._broken,
        )
        self._next_index += 1
        self._row_index += self._rows
        self._line_number += self._lines_in_chunk
        self._start = self._end
        self._rows, self._lines_in_chunk, self._broken = 0, 0, False
        return chunk

"""How one large S3 object is put together from pieces. Pure: no I/O, no clock.

S3's own word for a piece is "part", which here is a chunk's success or failure file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartLimits:
    """What S3 allows, and how much is joined in memory. The defaults are Amazon's documented limits."""

    minimum_piece_bytes: int = 5 * MIB
    """Every piece but the last has at least this size."""
    maximum_piece_bytes: int = 5 * GIB
    maximum_pieces: int = 10_000
    join_bytes: int = 8 * MIB
    """Small segments are joined until they reach this size: fewer requests, little memory."""


S3_LIMITS = MultipartLimits()

#: Written bytes per byte of the next piece: 8 MiB pieces up to 10 GB, then growing slowly enough
#: for memory and fast enough that 10,000 pieces pass 5 TiB (e^7 × 10 GB).
_GROWTH_DIVISOR = 1250


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The bytes [start, end) of one segment."""

    segment_index: int
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Never 0."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPiece:
    """Slices that are joined in memory and sent."""

    slices: tuple[Slice, ...]

    @property
    def size_bytes(self) -> int:
        """Memory that the piece takes."""
        return sum(piece.size_bytes for piece in self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPiece:
    """A slice of a stored object that the server copies by itself."""

    slice: Slice

    @property
    def size_bytes(self) -> int:
        """Bytes copied."""
        return self.slice.size_bytes


Piece = UploadPiece | CopyPiece


def plan_pieces(sizes: Sequence[int], stored: Sequence[bool], limits: MultipartLimits = S3_LIMITS) -> list[Piece]:
    """Cover all segments exactly once, in order, within the limits.

    Only stored segments are copied by the server, and only in pieces of the minimum size; what is
    smaller is joined. A large segment behind a small remainder gives its head to the remainder.
    Where this makes too many pieces, the smallest piece is raised until they suffice.

    Args:
        sizes: bytes of each segment; 0 is allowed and covered by nothing.
        stored: whether the segment is an object that the server can copy.

    Returns:
        Pieces of at least `minimum_piece_bytes` except the last, at most `maximum_pieces`.
        An UploadPiece is below `join_bytes` plus twice the smallest piece.
    """
    pieces = _Planner(limits, limits.minimum_piece_bytes).plan(sizes, stored)
    if len(pieces) > limits.maximum_pieces:
        # All pieces but the last reach the floor, so there are at most total / floor + 1.
        floor_bytes = -(-sum(sizes) // (limits.maximum_pieces - 1))
        pieces = _Planner(limits, floor_bytes).plan(sizes, stored)
    return pieces


def next_piece_bytes(written_bytes: int, limits: MultipartLimits = S3_LIMITS) -> int:
    """Size of the next piece of an object of unknown size, so that the pieces suffice for 5 TiB."""
    return max(limits.join_bytes, -(-written_bytes // _GROWTH_DIVISOR))


class _Planner:
    """One pass over the segments with the given smallest piece."""

    def __init__(self, limits: MultipartLimits, floor_bytes: int) -> None:
        self._floor_bytes = floor_bytes
        self._join_bytes = max(limits.join_bytes, floor_bytes)
        self._maximum_bytes = limits.maximum_piece_bytes
        self._pieces: list[Piece] = []
        self._pending: list[Slice] = []
        self._pending_bytes = 0

    def plan(self, sizes: Sequence[int], stored: Sequence[bool]) -> list[Piece]:
        for index, (size, copyable) in enumerate(zip(sizes, stored, strict=True)):
            if not copyable:
                self._cut(index, size)
            elif size < self._floor_bytes:
                self._join(index, 0, size)
            else:
                self._copy(index, size)
        self._flush()
        return self._pieces

    def _cut(self, index: int, size: int) -> None:
        """Bytes at hand may be cut anywhere."""
        start = 0
        while start < size:
            end = min(size, start + self._join_bytes - self._pending_bytes)
            self._join(index, start, end)
            start = end

    def _copy(self, index: int, size: int) -> None:
        start = 0
        if self._pending:
            start = max(0, self._floor_bytes - self._pending_bytes)
            if size - start < self._floor_bytes:
                # Too little would be left to be copied.
                self._join(index, 0, size)
                return
            self._join(index, 0, start)
            self._flush()
        count = -(-(size - start) // self._maximum_bytes)
        for number in range(count, 0, -1):
            # Even pieces: a last one that is small could be below the minimum.
            end = start + (size - start) // number
            self._pieces.append(CopyPiece(slice=Slice(segment_index=index, start=start, end=end)))
            start = end

    def _join(self, index: int, start: int, end: int) -> None:
        if start == end:
            return
        self._pending.append(Slice(segment_index=index, start=start, end=end))
        self._pending_bytes += end - start
        if self._pending_bytes >= self._join_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._pieces.append(UploadPiece(slices=tuple(self._pending)))
            self._pending = []
            self._pending_bytes = 0

"""The plan of an S3 object's pieces: nothing lost, nothing twice, every limit kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.storage.multipart import (
    GIB,
    MIB,
    S3_LIMITS,
    CopyPiece,
    MultipartLimits,
    Piece,
    Slice,
    UploadPiece,
    next_piece_bytes,
    plan_pieces,
)

TIB = 1024 * GIB

#: The proportions of the real limits at a scale where all of them are reached often.
SMALL_LIMITS = MultipartLimits(minimum_piece_bytes=5, maximum_piece_bytes=200, maximum_pieces=20, join_bytes=8)


def slices_of(piece: Piece) -> tuple[Slice, ...]:
    return piece.slices if isinstance(piece, UploadPiece) else (piece.slice,)


def check(sizes: list[int], stored: list[bool], limits: MultipartLimits) -> list[Piece]:
    pieces = plan_pieces(sizes, stored, limits)
    covered = [part for piece in pieces for part in slices_of(piece)]
    # In order, once, without a gap: the slices are exactly the walk over all segments.
    walk = iter(covered)
    for index, size in enumerate(sizes):
        position = 0
        while position < size:
            part = next(walk)
            assert (part.segment_index, part.start) == (index, position)
            assert position < part.end <= size
            position = part.end
    assert next(walk, None) is None
    assert len(pieces) <= limits.maximum_pieces
    floor = max(limits.minimum_piece_bytes, -(-sum(sizes) // (limits.maximum_pieces - 1)))
    for number, piece in enumerate(pieces, start=1):
        assert number == len(pieces) or piece.size_bytes >= limits.minimum_piece_bytes
        assert piece.size_bytes <= limits.maximum_piece_bytes
        if isinstance(piece, CopyPiece):
            assert stored[piece.slice.segment_index]
        else:
            assert piece.size_bytes < max(limits.join_bytes, floor) + 2 * floor
    return pieces


real_sizes = st.one_of(
    st.integers(0, 50 * MIB),
    st.integers(0, 2000),
    st.sampled_from([0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 8 * MIB, 10 * MIB - 1, 10 * MIB, 6 * GIB, 11 * GIB]),
)


@given(st.lists(st.tuples(real_sizes, st.booleans()), max_size=40))
def test_segments_are_covered_once_in_order_within_the_limits_of_s3(segments: list[tuple[int, bool]]) -> None:
    # Bytes at hand are never gigabytes.
    stored = [is_stored or size > 50 * MIB for size, is_stored in segments]
    check([size for size, _ in segments], stored, S3_LIMITS)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60))
def test_segments_are_covered_once_in_order_where_every_limit_bites(segments: list[tuple[int, bool]]) -> None:
    check([size for size, _ in segments], [is_stored for _, is_stored in segments], SMALL_LIMITS)


@given(st.lists(st.integers(5 * MIB, 20 * GIB), min_size=1, max_size=20))
def test_large_stored_objects_are_copied_without_being_read(sizes: list[int]) -> None:
    pieces = check(sizes, [True] * len(sizes), S3_LIMITS)
    assert all(isinstance(piece, CopyPiece) for piece in pieces)


@given(st.integers(1, 5 * MIB - 1), st.integers(10 * MIB, 50 * MIB))
def test_a_small_remainder_takes_only_what_it_lacks_from_the_large_object_behind_it(small: int, large: int) -> None:
    first, second = check([small, large], [False, True], S3_LIMITS)
    assert isinstance(first, UploadPiece)
    assert first.size_bytes == 5 * MIB
    assert isinstance(second, CopyPiece)
    assert second.size_bytes == large - (5 * MIB - small)


def test_nothing_needs_no_piece() -> None:
    assert plan_pieces([], []) == []
    assert plan_pieces([0, 0], [True, False]) == []


def test_small_segments_make_one_piece() -> None:
    assert len(check([10] * 1000, [True] * 1000, S3_LIMITS)) == 1


@pytest.mark.parametrize(
    ("size", "count"),
    [(5 * MIB, 50_000), (5 * MIB - 1, 50_000), (100, 100_000), (6 * MIB, 10_001), (64 * MIB, 20_000)],
)
def test_more_segments_than_pieces_make_bigger_pieces(size: int, count: int) -> None:
    pieces = check([size] * count, [True] * count, S3_LIMITS)
    assert len(pieces) <= 10_000


def test_ten_thousand_large_objects_are_still_copied() -> None:
    pieces = check([6 * MIB] * 10_000, [True] * 10_000, S3_LIMITS)
    assert all(isinstance(piece, CopyPiece) for piece in pieces)


def test_a_stream_of_five_tebibytes_fits_into_the_pieces() -> None:
    written = pieces = 0
    while written < 5 * TIB:
        size = next_piece_bytes(written)
        assert 5 * MIB <= size <= 5 * GIB
        written += size
        pieces += 1
    assert pieces <= 10_000


@given(st.integers(0, 10 * GIB))
def test_a_stream_takes_little_memory_up_to_ten_gibibytes(written: int) -> None:
    assert next_piece_bytes(written) <= 9 * MIB

"""The checksum of a chunk is that of the bytes its reader gets, however the scan came by them."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import StorageError
from engine.model import Chunk
from engine.table.checksums import ChunkSums, read_checked
from tests.in_process import InProcess, numbered


def chunk(index: int, start: int, end: int, **more: object) -> Chunk:
    facts = {"chunk_index": index, "byte_start": start, "byte_end": end, "first_row_index": 1, "row_count": 2}
    return Chunk(**{**facts, **more})  # type: ignore[arg-type]


@given(data=st.binary(min_size=1, max_size=200), cuts=st.sets(st.integers(1, 199)), block=st.integers(1, 50))
def test_every_chunk_has_the_sum_of_its_bytes(data: bytes, cuts: set[int], block: int) -> None:
    sums = ChunkSums(7, max_held_bytes=1_000, max_record_bytes=1_000)
    ends = sorted({cut for cut in cuts if cut < len(data)} | {len(data)})
    expected = [zlib.crc32(data[start:end]) for start, end in pairwise([0, *ends])]
    waiting = [chunk(index, 7 + start, 7 + end) for index, (start, end) in enumerate(pairwise([0, *ends]))]
    found = []
    seen = 7
    for piece in sums.watch(data[start : start + block] for start in range(0, len(data), block)):
        seen += len(piece)
        # As the scan does: a chunk is known at the earliest when its last byte has come.
        while waiting and waiting[0].byte_end <= seen:
            found.append(sums.added(waiting.pop(0)).crc32)
    assert found == expected


def test_what_is_more_than_may_be_held_has_no_sum_and_what_follows_has_one() -> None:
    sums = ChunkSums(0, max_held_bytes=100, max_record_bytes=1_000)
    data = bytes(range(256))
    for _ in sums.watch(data[start : start + 16] for start in range(0, 256, 16)):
        pass
    assert sums.added(chunk(0, 0, 200)).crc32 is None
    assert sums.added(chunk(1, 200, 256)).crc32 == zlib.crc32(data[200:])


def test_of_an_overlong_record_the_bytes_that_are_read_are_summed() -> None:
    """A chunk of one broken record is read to a limit only (`bytes_to_read`)."""
    sums = ChunkSums(0, max_held_bytes=10_000_000, max_record_bytes=10)
    data = b"x" * 5_000_000
    list(sums.watch([data]))
    found = sums.added(chunk(0, 0, len(data), row_count=1, irregular=True))
    from engine.readers import bytes_to_read

    size = bytes_to_read(found, max_record_bytes=10)
    assert size < len(data)
    assert found.crc32 == zlib.crc32(data[:size])


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_chunks_of_a_job_have_the_sums_of_what_stands_there(tmp_path: Path, suffix: str) -> None:
    here = InProcess(tmp_path, EngineConfig(progress_interval_seconds=0, scan_block_bytes=100))
    try:
        if suffix == "csv":
            here.plan(numbered(100), chunk_size=7)
        else:
            here.plan(b"".join(b'{"n": %d}\n' % n for n in range(100)), chunk_size=7)
        plan = here.job().plan
        assert plan is not None
        data = Path(plan.readable.url).read_bytes()
        chunks = [state.chunk for state in here.ledger.chunk_states(here.job_id)]
        assert len(chunks) == 15
        for each in chunks:
            assert each.crc32 == zlib.crc32(data[each.byte_start : each.byte_end])
    finally:
        here.close()


def test_a_chunk_is_read_until_it_is_right_and_refused_in_the_end() -> None:
    wanted = chunk(0, 0, 5, crc32=zlib.crc32(b"right"))
    readings = [b"wrong", b"rigth", b"right"]
    assert read_checked(lambda: readings.pop(0), wanted, "s3://b/k") == b"right"
    with pytest.raises(StorageError, match="s3://b/k are not those that were scanned"):
        read_checked(lambda: b"wrong", wanted, "s3://b/k")
    assert read_checked(lambda: b"any", chunk(0, 0, 3), "s3://b/k") == b"any"

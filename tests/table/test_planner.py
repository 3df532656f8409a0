"""Chunks are cut by the records alone, and hold all of them, once, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Chunk
from engine.planner import ChunkCutter
from tests.readers.strategies import examples

START = 100


@dataclass(frozen=True)
class Record:
    size: int
    lines: int = 1
    is_broken: bool = False


records_lists = st.lists(st.builds(Record, st.integers(1, 12), st.integers(1, 4), st.booleans()), max_size=30)


def feed(cutter: ChunkCutter, start: int, records: list[Record]) -> Iterable[Chunk]:
    return cutter.feed(
        list(accumulate((record.size for record in records), initial=start))[1:],
        list(accumulate(record.lines for record in records)),
        bytes(record.is_broken for record in records),
    )


def planned(blocks: list[list[Record]], *, chunk_size: int, max_chunk_bytes: int) -> list[Chunk]:
    cutter = ChunkCutter(start=START, chunk_size=chunk_size, max_chunk_bytes=max_chunk_bytes, first_line_number=3)
    chunks: list[Chunk] = []
    position = START
    for block in blocks:
        if block:
            chunks.extend(feed(cutter, position, block))
            position += sum(record.size for record in block)
    chunks.extend(cutter.finish())
    assert cutter.total_rows == sum(map(len, blocks))
    return chunks


def expected_groups(records: list[Record], chunk_size: int, max_chunk_bytes: int) -> list[list[Record]]:
    """Record by record: a new chunk where the next one would make it too many or too much."""
    groups: list[list[Record]] = []
    for record in records:
        full = not groups or len(groups[-1]) == chunk_size
        if full or sum(r.size for r in groups[-1]) + record.size > max_chunk_bytes:
            groups.append([])
        groups[-1].append(record)
    return groups


@examples(300)
@given(records_lists, st.integers(1, 8), st.integers(1, 40), st.data())
def test_chunks_hold_all_records_in_order_however_they_arrive(
    records: list[Record], chunk_size: int, max_chunk_bytes: int, draw: st.DataObject
) -> None:
    edges = sorted(draw.draw(st.lists(st.integers(0, len(records)), max_size=5)))
    blocks = [records[start:end] for start, end in zip([0, *edges], [*edges, len(records)], strict=True)]
    chunks = planned(blocks, chunk_size=chunk_size, max_chunk_bytes=max_chunk_bytes)
    position, row_index, line_number = START, 1, 3
    groups = expected_groups(records, chunk_size, max_chunk_bytes)
    assert len(chunks) == len(groups)
    for index, (chunk, group) in enumerate(zip(chunks, groups, strict=True)):
        end = position + sum(record.size for record in group)
        assert chunk == Chunk(
            chunk_index=index,
            byte_start=position,
            byte_end=end,
            first_row_index=row_index,
            row_count=len(group),
            first_line_number=line_number,
            irregular=any(record.is_broken for record in group),
        )
        position, row_index = end, row_index + len(group)
        line_number += sum(record.lines for record in group)


def test_a_record_larger_than_a_chunk_may_be_gets_one_of_its_own() -> None:
    records = [Record(5), Record(50), Record(5), Record(5)]
    chunks = planned([records], chunk_size=10, max_chunk_bytes=20)
    assert [chunk.row_count for chunk in chunks] == [1, 1, 2]


def test_no_records_make_no_chunks() -> None:
    assert planned([], chunk_size=1, max_chunk_bytes=1) == []


def test_a_chunk_is_given_out_as_soon_as_it_is_full() -> None:
    cutter = ChunkCutter(start=START, chunk_size=2, max_chunk_bytes=1000)
    assert [chunk.row_count for chunk in feed(cutter, START, [Record(1)] * 5)] == [2, 2]
    assert cutter.total_rows == 5
    assert [chunk.row_count for chunk in cutter.finish()] == [1]

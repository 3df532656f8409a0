"""Chunks last seconds, whatever rows cost; and the result files do not depend on it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import chunk_sizes
from engine.chunk_sizes import LEAST_ROWS, MIB, MOST_ROWS, TARGET_SECONDS, ChunkSizes, enlarged, fitting_sizes
from engine.config import EngineConfig
from engine.errors import ServiceUnavailableError
from engine.model import Chunk
from engine.status import ChunkStatus
from tests.in_process import InProcess, numbered


class Costs:
    """Remembers what it is told; or is away."""

    def __init__(self, seconds_per_row: float | None = None, *, is_away: bool = False) -> None:
        self.seconds = seconds_per_row
        self.is_away = is_away
        self.noted: list[tuple[str, int, float]] = []

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        self._check()
        self.noted.append((handler, rows, seconds))

    def seconds_per_row(self, handler: str) -> float | None:
        self._check()
        return self.seconds

    def _check(self) -> None:
        if self.is_away:
            raise ServiceUnavailableError("away", service="redis")


def plan(here: InProcess, rows: int, costs: Costs | None, **options: Any) -> list[int]:
    """Rows of the chunks of a new job."""
    here.create(numbered(rows), **options)
    here.coordinator(costs=costs).plan(here.job_id)
    return [state.chunk.row_count for state in here.ledger.chunk_states(here.job_id)]


@pytest.fixture
def here(tmp_path: Path) -> Any:
    made = InProcess(tmp_path)
    yield made
    made.close()


@given(
    st.floats(min_value=1e-7, max_value=100.0),
    st.integers(min_value=0, max_value=10**12),
    st.integers(min_value=1, max_value=64 * MIB),
)
def test_sizes_keep_to_seconds_rows_and_memory(cost: float, source_bytes: int, most: int) -> None:
    sizes = fitting_sizes("row", cost, source_bytes=source_bytes, max_chunk_bytes=most)
    assert LEAST_ROWS <= sizes.rows <= MOST_ROWS
    assert sizes.rows == LEAST_ROWS or sizes.rows * cost <= TARGET_SECONDS * (1 + 1e-9)
    assert sizes.max_bytes <= most


def test_an_unknown_handler_gets_the_usual_size() -> None:
    sizes = [fitting_sizes(mode, None, source_bytes=1, max_chunk_bytes=16 * MIB) for mode in ("row", "batch")]
    assert [size.rows for size in sizes] == [25_000, 50_000]
    assert {size.max_bytes for size in sizes} == {16 * MIB}


def test_dear_rows_make_small_chunks_and_a_given_size_wins(here: InProcess) -> None:
    dear = Costs(TARGET_SECONDS / 30)
    assert plan(here, 100, dear) == [30, 30, 30, 10]
    assert plan(here, 100, dear, chunk_size=60) == [60, 40]
    assert plan(here, 100, Costs(1e-6)) == [100]
    assert plan(here, 100, Costs(is_away=True)) == [100]
    assert plan(here, 100, None) == [100]


def test_a_scan_that_is_done_again_cuts_as_the_first_one_did(here: InProcess) -> None:
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    here.create(numbered(100))
    stops = iter([False, True])
    here.coordinator(costs=Costs(TARGET_SECONDS / 30)).plan(here.job_id, should_stop=lambda: next(stops))
    begun = here.chunk_count()
    assert begun >= 1
    # The handler has become cheaper meanwhile.
    here.dead.add("coordinator")
    here.coordinator("another", costs=Costs(1e-6)).plan(here.job_id)
    chunks = [state.chunk for state in here.ledger.chunk_states(here.job_id)]
    assert [chunk.row_count for chunk in chunks] == [30, 30, 30, 10]
    assert [chunk.byte_end for chunk in chunks[:-1]] == [chunk.byte_start for chunk in chunks[1:]]


def test_a_chunk_tells_what_its_rows_took_unless_they_are_few(here: InProcess) -> None:
    costs = Costs()
    here.plan(numbered(1_500), chunk_size=1_000)
    for index in (0, 1):
        here.runner(costs=costs).run(here.job_id, index)
    ((handler, rows, seconds),) = costs.noted
    assert (handler, rows) == (here.job().handler_path, 1_000)
    assert 0 < seconds < 60


def test_nobody_to_tell_is_no_trouble(here: InProcess) -> None:
    here.plan(numbered(1_000))
    here.runner(costs=Costs(is_away=True)).run(here.job_id, 0)
    assert here.finish().counts.processed_rows == 1_000


TEXT = b"".join(b"%d\n" % number for number in range(400))


@st.composite
def waiting_chunks(draw: st.DrawFn) -> list[Chunk]:
    """Chunks over `TEXT`, some of them left out, as if others had begun them."""
    found: list[Chunk] = []
    start, row = 0, 1
    for index in range(draw(st.integers(0, 12))):
        end = start + draw(st.integers(1, 100))
        rows = draw(st.integers(1, 20))
        chunk = Chunk(
            chunk_index=index,
            byte_start=start,
            byte_end=end,
            first_row_index=row,
            row_count=rows,
            irregular=draw(st.booleans()),
            crc32=draw(st.sampled_from([zlib.crc32(TEXT[start:end])] * 4 + [None])),
        )
        start, row = end, row + rows
        if draw(st.integers(0, 4)):
            found.append(chunk)
    return found


@given(waiting_chunks(), st.integers(1, 60), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_larger_chunks_hold_the_same_rows_and_keep_to_the_sizes(
    waiting: list[Chunk], rows: int, max_bytes: int, copied_bytes: int, memory: int
) -> None:
    sizes = ChunkSizes(rows=rows, max_bytes=max_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_sizes, "_COPIED_BYTES", copied_bytes)
        larger = enlarged(waiting, sizes, max_chunk_bytes=memory)
    inside: set[int] = set()
    for chunk in larger:
        taken = [each for each in waiting if chunk.byte_start <= each.byte_start < chunk.byte_end]
        inside |= {each.chunk_index for each in taken}
        # Neighbours of one run, whole, and nothing but them.
        assert [each.chunk_index for each in taken] == list(range(chunk.chunk_index, chunk.chunk_index + len(taken))), (
            "no gap"
        )
        assert len(taken) > 1
        assert chunk == replace(
            taken[0],
            byte_end=taken[-1].byte_end,
            row_count=sum(each.row_count for each in taken),
            irregular=any(each.irregular for each in taken),
            crc32=None
            if any(each.crc32 is None for each in taken)
            else zlib.crc32(TEXT[taken[0].byte_start : taken[-1].byte_end]),
        )
        assert chunk.row_count <= rows
        size = chunk.byte_end - chunk.byte_start
        without_last = taken[-1].byte_start - chunk.byte_start
        assert size <= memory
        assert size <= max_bytes or without_last < copied_bytes < max_bytes
    heads = {chunk.chunk_index: chunk for chunk in larger}
    # Nothing that would have fitted was left out: of two neighbours that stayed apart the first was full.
    left = [
        heads.get(each.chunk_index, each)
        for each in waiting
        if each.chunk_index in heads or each.chunk_index not in inside
    ]
    for chunk, following in pairwise(left):
        first = next(each for each in waiting if each.chunk_index == following.chunk_index)
        size = first.byte_end - chunk.byte_start
        may_pass = copied_bytes < max_bytes and chunk.byte_end - chunk.byte_start < copied_bytes
        assert (
            chunk.byte_end != following.byte_start
            or chunk.row_count + first.row_count > rows
            or 1 in (chunk.row_count, first.row_count)
            or size > memory
            or (size > max_bytes and not may_pass)
        )


class Learning(Costs):
    """Knows nothing until it is told."""

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        super().note_cost(handler, rows=rows, seconds=seconds)
        self.seconds = seconds / rows


@pytest.mark.parametrize("form", ["text", "arrow"])
def test_a_first_import_goes_on_in_larger_chunks_and_gives_the_same_files(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    rows_of_table = numbered(20_000, bad=[1, 1_500, 1_501, 19_999])
    table: Any = rows_of_table
    if form == "arrow":
        records = [dict(zip(rows_of_table[0], row, strict=True)) for row in rows_of_table[1:]]
        table = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    undisturbed = here.run(table, "by_cell", chunk_size=1_000)
    expected = here.results()
    monkeypatch.setitem(chunk_sizes.UNKNOWN_ROWS, "row", 1_000)
    costs = Learning()
    here.create(table, "by_cell")
    coordinator, runner = here.coordinator(costs=costs), here.runner(costs=costs)
    coordinator.plan(here.job_id)
    assert here.job().plan.form == form  # type: ignore[union-attr]
    sent = coordinator.chunks_to_send(here.job_id, window=5)
    assert sent == [0, 1, 2, 3, 4]
    # Another process has begun the third one.
    assert here.ledger.claim(here.job_id, 2, owner="another", token="t") is not None  # noqa: S106
    runner.run(here.job_id, 0)
    following = coordinator.after_chunk(here.job_id)
    states = list(here.ledger.chunk_states(here.job_id))
    rows = [state.chunk.row_count for state in states if state.chunk.row_count]
    assert rows == [1_000, 1_000, 1_000, 17_000]
    assert sum(rows) == 20_000
    empty = [state for state in states if not state.chunk.row_count]
    assert {state.status for state in empty} == {ChunkStatus.DONE}
    # The messages that were sent for what is taken in find nothing to do.
    assert [runner.run(here.job_id, state.chunk.chunk_index).name for state in empty] == ["NOTHING_TO_DO"] * len(empty)
    # A scan that comes late adds nothing.
    here.ledger.add_chunks(here.job_id, [replace(state.chunk, row_count=1_000) for state in empty])
    assert [state.chunk for state in here.ledger.chunk_states(here.job_id)] == [state.chunk for state in states]
    before = len(costs.noted)
    coordinator.after_chunk(here.job_id)
    assert len(costs.noted) == before
    assert not here.job().plan.sizes_guessed  # type: ignore[union-attr]
    assert following.is_ready_to_finish is False
    here.dead.add("another")
    for index in (1, 2, 3):
        assert runner.run(here.job_id, index).name == "DONE"
    job = here.finish()
    assert (job.counts, here.results()) == (undisturbed.counts, expected)


def test_chunks_stay_as_they_are_where_their_rows_are_dear_or_their_size_was_asked_for(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(chunk_sizes.UNKNOWN_ROWS, "row", 10)
    for options, costs in (
        ({}, Costs(TARGET_SECONDS / 10)),
        ({}, Costs(is_away=True)),
        ({"chunk_size": 10}, Costs(1e-6)),
    ):
        here.create(numbered(50), **options)
        here.coordinator(costs=Costs()).plan(here.job_id)
        coordinator = here.coordinator(costs=costs)
        here.runner().run(here.job_id, 0)
        coordinator.after_chunk(here.job_id)
        assert [state.chunk.row_count for state in here.ledger.chunk_states(here.job_id)] == [10] * 5


def test_rows_of_a_chunk_that_was_begun_given_back_and_taken_in_are_counted_once(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(chunk_sizes.UNKNOWN_ROWS, "row", 1_000)
    costs = Learning()
    here.create(numbered(5_000), batch_size=100)
    coordinator, runner = here.coordinator(costs=costs), here.runner(costs=costs)
    coordinator.plan(here.job_id)
    assert here.run_chunk(2, "a worker that a deploy ends", should_stop=lambda: True).name == "STOPPED"
    assert here.run_chunk(3, "another", should_stop=lambda: True).name == "STOPPED"
    assert runner.run(here.job_id, 0).name == "DONE"
    coordinator.after_chunk(here.job_id)
    rows = [state.chunk.row_count for state in here.ledger.chunk_states(here.job_id)]
    assert rows == [1_000, 4_000, 0, 0, 0]
    assert runner.run(here.job_id, 1).name == "DONE"
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert (snapshot.total_rows, snapshot.counts.processed_rows) == (5_000, 5_000)

"""Chunks last seconds, whatever rows cost; and the result files do not depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chunk_sizes import LEAST_ROWS, MIB, MOST_ROWS, TARGET_SECONDS, fitting_sizes
from engine.config import EngineConfig
from engine.errors import ServiceUnavailableError
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

"""A staged table gives back its rows chunk by chunk, however it was cut and in whatever batches it came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrow_form import ROWS_PER_BATCH, batch_of, schema_of
from engine.config import EngineConfig
from engine.errors import SourceChangedError
from engine.model import Dialect, Plan
from engine.readers import BrokenRow, Row
from engine.staging.arrow import StagedTable, stage_as_arrow
from engine.storage import Storage, open_storage
from engine.table import read_chunk, read_chunk_columns
from tests.readers.strategies import examples

CONFIG = EngineConfig()


def plan_of(staged: StagedTable) -> Plan:
    return Plan(
        form="arrow",
        dialect=Dialect(),
        header=(),
        column_count=staged.column_count,
        data_start=staged.data_start,
        readable=staged.readable,
    )


def batches_of(rows: list[list[str]], errors: list[str | None], size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        columns = [pa.array(column, pa.large_string()) for column in zip(*rows[start : start + size], strict=True)]
        yield batch_of(columns, pa.array(errors[start : start + size], pa.string()))


def stage(workspace: Storage, batches: Any, column_count: int, **limits: Any) -> StagedTable:
    limits = {"chunk_size": 10, "max_chunk_bytes": 1 << 20, **limits}
    return stage_as_arrow(batches, column_count, workspace, "staged/job/t.arrow", **limits)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], list[str | None]]:
    width = draw(st.integers(1, 4))
    cell = st.text(st.characters(codec="utf-8"), max_size=40)
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=30))
    return rows, [draw(st.one_of(st.none(), st.none(), st.text("ab", max_size=3))) for _ in rows]


@examples(80)
@given(tables(), st.integers(1, 12), st.integers(1, 9), st.integers(1, 4000))
def test_rows_and_chunks(
    tmp_path: Path, table: tuple[list[list[str]], list[str | None]], size: int, chunk_size: int, max_chunk_bytes: int
) -> None:
    rows, errors = table
    width = len(rows[0]) if rows else 1
    workspace = open_storage(str(tmp_path), CONFIG)
    staged = stage(
        workspace,
        batches_of(rows, errors, size),
        width,
        chunk_size=chunk_size,
        max_chunk_bytes=max_chunk_bytes,
        first_line_number=7,
    )
    expected = [row if error is None else BrokenRow(row, error) for row, error in zip(rows, errors, strict=True)]
    found: list[Row] = []
    end = staged.data_start
    for index, chunk in enumerate(staged.chunks):
        assert (chunk.chunk_index, chunk.byte_start, chunk.first_row_index) == (index, end, len(found) + 1)
        assert chunk.first_line_number == len(found) + 7
        of_chunk = list(read_chunk(workspace, "staged/job/t.arrow", plan_of(staged), chunk, CONFIG))
        assert chunk.row_count == len(of_chunk) <= chunk_size
        assert chunk.irregular == any(isinstance(row, BrokenRow) for row in of_chunk)
        assert chunk.byte_end - chunk.byte_start <= max_chunk_bytes or chunk.row_count == 1
        columns = read_chunk_columns(workspace, "staged/job/t.arrow", plan_of(staged), chunk)
        *texts, wrong = columns.to_pydict().values()
        assert list(map(list, zip(*texts, strict=True))) == rows[len(found) : len(found) + chunk.row_count]
        assert wrong == errors[len(found) : len(found) + chunk.row_count]
        end = chunk.byte_end
        found.extend(of_chunk)
    assert found == expected
    assert staged.total_rows == len(expected)


def test_the_staged_object_is_an_ordinary_arrow_stream(tmp_path: Path) -> None:
    workspace = open_storage(str(tmp_path), CONFIG)
    rows = [[str(index), "x"] for index in range(5_000)]
    staged = stage(workspace, batches_of(rows, [None] * 5_000, 3_000), 2, chunk_size=4_000)
    with pa.OSFile(staged.readable.url) as file, pa.ipc.open_stream(file) as stream:
        assert stream.schema == schema_of(2)
        batches = list(stream)
    assert [batch.num_rows for batch in batches] == [2_000, 1_000, 1_000, 1_000]
    assert max(batch.num_rows for batch in batches) <= ROWS_PER_BATCH
    assert [chunk.row_count for chunk in staged.chunks] == [4_000, 1_000]
    assert pa.Table.from_batches(batches).column("col_0").to_pylist() == [row[0] for row in rows]


def test_nulls_become_empty_cells(tmp_path: Path) -> None:
    workspace = open_storage(str(tmp_path), CONFIG)
    batch = batch_of([pa.array(["a", None]), pa.array([None, None], pa.string())])
    staged = stage(workspace, [batch], 2)
    (chunk,) = staged.chunks
    rows = list(read_chunk(workspace, "staged/job/t.arrow", plan_of(staged), chunk, CONFIG))
    assert rows == [["a", ""], ["", ""]]


def test_a_copy_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    workspace = open_storage(str(tmp_path), CONFIG)
    staged = stage(workspace, [batch_of([pa.array(["a"])])], 1)
    stage(workspace, [batch_of([pa.array(["b", "c"])])], 1)
    with pytest.raises(SourceChangedError):
        list(read_chunk(workspace, "staged/job/t.arrow", plan_of(staged), staged.chunks[0], CONFIG))


def test_what_breaks_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    workspace = open_storage(str(tmp_path), CONFIG)

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch_of([pa.array(["a"])])
        raise SourceChangedError("replaced")

    with pytest.raises(SourceChangedError):
        stage(workspace, broken(), 1)
    assert list(workspace.list("")) == []

"""What looks at a source read: the bytes of the pinned version, each of them asked for once."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import SourceChangedError
from engine.options import ImportOptions
from engine.readers import HEAD_BYTES
from engine.storage import open_storage
from engine.storage.s3_read import ObjectReader
from engine.table import TablePlanner, pin_source
from engine.table.known_ranges import KnownRanges
from tests.in_process import csv_bytes, numbered
from tests.readers.strategies import examples

spans = st.tuples(st.integers(0, 400_000), st.integers(0, 400_000)).map(lambda both: (min(both), max(both)))


@examples(60)
@given(size=st.integers(0, 400_000), asked=st.lists(spans | st.lists(spans, max_size=4), max_size=8))
def test_every_range_is_as_it_stands_in_the_source(size: int, asked: list[Any]) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(data)
        known = KnownRanges(pin_source(str(path), EngineConfig()), EngineConfig())
        assert known.head == data[:HEAD_BYTES]
        for each in asked:
            if isinstance(each, list):
                inside = [(min(start, size), min(end, size)) for start, end in each]
                assert known.read_several(inside) == [data[start:end] for start, end in inside]
            else:
                start, end = min(each[0], size), min(each[1], size)
                assert known.read(start, end) == data[start:end]
                assert b"".join(known.blocks(start, end, block_bytes=64 * 1024)) == data[start:end]


def test_another_version_is_refused_also_where_some_of_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" * 100_000)
    known = KnownRanges(pin_source(str(path), EngineConfig()), EngineConfig())
    head = known.head
    path.write_bytes(b"c,d\n" * 100_000)
    os.utime(path, ns=(1, 1))  # a clock of the file system may stand still for some milliseconds
    assert known.read(10, 20) == head[10:20]
    with pytest.raises(SourceChangedError):
        known.read(HEAD_BYTES, HEAD_BYTES + 10)


def test_what_is_kept_does_not_grow_with_the_source(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    known = KnownRanges(pin_source(str(path), EngineConfig()), EngineConfig())
    tracemalloc.start()
    try:
        for start in range(0, 64 * 1024 * 1024, HEAD_BYTES):
            known.read(start, start + HEAD_BYTES)
        assert tracemalloc.get_traced_memory()[0] < 5 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("rows", "scanned", "requests"),
    [
        pytest.param(1_000, 1, 1, id="small: its start, which is all of it"),
        pytest.param(100_000, 2, 1 + 8 + 1 + 2, id="large: start, places, end, and the blocks of the scan"),
    ],
)
def test_planning_asks_s3_for_nothing_twice(
    rows: int,
    scanned: int,
    requests: int,
    tmp_path: Path,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
) -> None:
    config = EngineConfig(s3_endpoint_url=moto_endpoint, scan_block_bytes=1024 * 1024)
    bucket = s3_bucket(moto_endpoint)
    data = csv_bytes(numbered(rows))
    assert scanned == -(-len(data) // config.scan_block_bytes), "the case is what its name says"
    open_storage(f"s3://{bucket}", config).write("people.csv", data)
    source = pin_source(f"s3://{bucket}/people.csv", config)
    asked: list[tuple[int, int]] = []
    read = ObjectReader.read

    def counted(reader: ObjectReader, full_key: str, start: int, end: int, **more: Any) -> bytes:
        asked.append((start, end))
        return read(reader, full_key, start, end, **more)

    def no_workspace() -> Any:
        raise AssertionError("nothing is staged")

    planner = TablePlanner(source, ImportOptions(), config, workspace=no_workspace, job_id="job")
    with mock.patch.object(ObjectReader, "read", counted):
        plan = planner.look().plan
        chunks = [chunk for found in planner.chunks(plan) for chunk in found]
        planner.settle_encoding(plan)
    assert sum(chunk.row_count for chunk in chunks) == rows
    assert len(asked) == len(set(asked)) == requests

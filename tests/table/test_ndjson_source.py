"""NDJSON as a source: plain, compressed and in wide encodings the same rows, and a job runs over it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.config import EngineConfig
from engine.errors import SourceTooLargeError
from engine.readers import BrokenRow
from engine.table import stage_ndjson
from engine.table.stage_ndjson import COLUMN_BYTES
from tests.readers.strategies import examples
from tests.reading import read

OBJECTS = [{"id": str(number), "name": "Ünal", "tags": ["x"]} for number in range(5_000)]
TEXT = "\n".join(json.dumps(each, ensure_ascii=False) for each in OBJECTS) + "\n"
ROWS = [[each["id"], "Ünal", '["x"]'] for each in OBJECTS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_the_rows_are_the_same_in_any_encoding(tmp_path: Path, encoding: str, is_packed: bool) -> None:
    data = TEXT.encode(encoding)
    reading = read(
        tmp_path / "t.csv",
        gzip.compress(data) if is_packed else data,
        EngineConfig(scan_block_bytes=999),
        chunk_size=700,
    )
    assert reading.rows == ROWS
    assert reading.plan.header == ("id", "name", "tags")
    assert [chunk.row_count for chunk in reading.chunks] == [700] * 7 + [100]
    assert reading.plan.details["kind"] == ("gzip" if is_packed else "ndjson")


def test_more_rows_than_are_allowed_end_the_staging_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read(tmp_path / "t.json", TEXT.encode(), EngineConfig(max_rows=5_000)).rows) == 5_000
    lines: list[int] = []
    read_objects = stage_ndjson.read_objects

    def counted(*arguments: Any) -> Iterator[Any]:
        for row in read_objects(*arguments):
            lines.append(1)
            yield row

    monkeypatch.setattr(stage_ndjson, "read_objects", counted)
    with pytest.raises(SourceTooLargeError, match="more than the 100 rows that are allowed"):
        read(tmp_path / "t.json", TEXT.encode(), EngineConfig(max_rows=100))
    assert len(lines) <= 2_000


def test_a_given_encoding_is_used(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.json", TEXT.encode("cp1252"), encoding="cp1252")
    assert reading.rows == ROWS


def test_a_broken_line_costs_its_row(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.json", b'{"a": 1, "b": "x"}\n{"a": 1,\n{"b": null}\n')
    error = "Line 2: it is not JSON (Expecting property name enclosed in double quotes, at character 9). "
    assert [reading.rows[0], reading.rows[2]] == [["1", "x"], ["", ""]]
    assert isinstance(reading.rows[1], BrokenRow)
    assert reading.rows[1].error.startswith(error[:20])
    assert reading.rows[1].cells == ['{"a": 1,', ""]


def test_long_rows_are_staged_in_chunks_of_bounded_size(tmp_path: Path) -> None:
    data = b"".join(json.dumps({"a": "x" * 900_000, "b": str(number)}).encode() + b"\n" for number in range(30))
    config = EngineConfig(max_chunk_bytes=4_000_000)
    reading = read(tmp_path / "t.json", data, config)
    assert [row[1] for row in reading.good_rows] == [str(number) for number in range(30)]
    assert max(chunk.byte_end - chunk.byte_start for chunk in reading.chunks) <= 4_000_000


def test_inspect_and_a_job_read_it(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(TEXT + "broken\n", encoding="utf-8")
    inspection = engine.inspect(path)
    assert inspection.header == ["id", "name", "tags"]
    assert inspection.total_rows == 5_001
    report = engine.run(path, "tests.sample_handlers.accept", output_dir=tmp_path / "out", executor="local", workers=1)
    assert report.succeeded
    assert (report.counts.success_count, report.counts.failure_count) == (5_000, 1)
    assert "Line 5001: it is not JSON" in (tmp_path / "out" / "people.failed.csv").read_text(encoding="utf-8")


def test_a_preview_reads_the_start_only(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with path.open("wb") as file:
        for number in range(100_000):
            file.write(b'{"id": %d, "text": "some text that takes its room"}\n' % number)
    preview = engine.preview(path, rows=2)
    assert (preview.header, preview.rows[1]) == (["id", "text"], ["1", "some text that takes its room"])


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_key_that_first_appears_far_behind_is_a_column_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    monkeypatch.setattr(stage_ndjson, "COLUMN_BYTES", COLUMN_BYTES // 10)
    line = b'{"id": %d, "text": "some text that takes its room, as texts do"}\n'
    lines = [line % number for number in range(15_100)]
    lines[15_000] = b'{"id": 15000, "late": {"deep": 1.50}, "text": null}\n'
    lines[-1] = b'{"last": true}\n'
    data = b"".join(lines)
    assert len(data) - len(b"".join(lines[15_000:])) > stage_ndjson.COLUMN_BYTES
    reading = read(tmp_path / "t.json", gzip.compress(data, 1) if is_packed else data)
    assert reading.plan.header == ("id", "text", "late", "last")
    text = "some text that takes its room, as texts do"
    assert reading.rows[14_999:15_002] == [
        ["14999", text, "", ""], ["15000", "", '{"deep":1.50}', ""], ["15001", text, "", ""]
    ]  # fmt: skip
    assert reading.rows[-1] == ["", "", "", "TRUE"]
    assert len(reading.rows) == 15_100
    # Nothing of the first try is left.
    assert [path.name for path in (tmp_path / "workspace").rglob("*.arrow")] == [Path(reading.plan.readable.url).name]


keys = st.sampled_from("abcdef")


@examples(60)
@given(st.lists(st.dictionaries(keys, st.integers(0, 9), min_size=1), min_size=1, max_size=12), st.integers(1, 200))
def test_how_far_the_first_look_goes_makes_no_difference(
    tmp_path: Path, objects: list[dict[str, int]], column_bytes: int
) -> None:
    data = b"".join(json.dumps(each).encode() + b"\n" for each in objects)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_ndjson, "COLUMN_BYTES", column_bytes)
        reading = read(tmp_path / "t.json", data)
    columns = list(dict.fromkeys(key for each in objects for key in each))
    assert list(reading.plan.header) == columns
    assert reading.rows == [[str(each.get(key, "")) for key in columns] for each in objects]

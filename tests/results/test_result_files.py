"""From rows to result files, over a real folder: the bytes depend on the rows alone."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Part
from engine.results import PartKeys, PartWriter, header_cells, header_line, merge_csv, result_line
from engine.results.sheet_fragments import CountedPart
from engine.results.xlsx import merge_xlsx
from engine.storage.local import LocalFolderStorage
from tests.readers.strategies import examples

JOB = "0f0e0d0c-0000-4000-8000-000000000001"
ROWS = st.lists(st.lists(st.text('a,"\r\n é', max_size=5), min_size=1, max_size=4), max_size=12)


def make(rows: list[list[str]], cuts: list[int], output_format: Literal["csv", "xlsx"], held_bytes: int) -> bytes:
    with TemporaryDirectory() as folder:
        storage = LocalFolderStorage(folder)
        parts: list[Part] = []
        counted: list[CountedPart] = []
        edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
        for index, (start, end) in enumerate(pairwise(edges)):
            keys = PartKeys(job_id=JOB, chunk_index=index, attempt=1 + index % 2, token=f"t{held_bytes}")
            with PartWriter(storage, keys.key("failed"), max_held_bytes=held_bytes) as writer:
                writer.add_lines([result_line(row, "no") for row in rows[start:end]])
                part = writer.finish()
            assert part is not None
            parts.append(part)
            counted.append(CountedPart(part=part, row_count=end - start))
        # Twice, as after a crash between making the file and noting it down.
        header = header_cells([], 2, "failed")
        first, info = [
            merge_xlsx(storage, "failed.xlsx", header, counted, folder, folder="parts/sheets")
            if output_format == "xlsx"
            else merge_csv(storage, "failed.csv", header_line(header), parts)
            for _ in range(2)
        ]
        assert first.size_bytes == info.size_bytes
        data = Path(folder, info.key).read_bytes()
        assert len(data) == info.size_bytes
        assert sorted(path.name for path in Path(folder).iterdir() if path.name != "parts") == [info.key]
        return data


@examples(60)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 100), max_size=4), held_bytes=st.sampled_from([0, 20, 10_000]))
def test_a_csv_holds_every_row_however_it_was_chunked(rows: list[list[str]], cuts: list[int], held_bytes: int) -> None:
    data = make(rows, cuts, "csv", held_bytes)
    found = list(csv.reader(data.decode().splitlines(keepends=True)))
    assert found == [["col_0", "col_1", "import_error"], *([*row, "no"] for row in rows)]
    assert data == make(rows, [], "csv", 10_000)


@examples(20)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 100), max_size=4))
def test_an_excel_file_is_the_same_however_it_was_chunked(rows: list[list[str]], cuts: list[int]) -> None:
    assert make(rows, cuts, "xlsx", 0) == make(rows, [], "xlsx", 10_000)


def test_without_finish_the_folder_stays_empty(tmp_path: Path) -> None:
    storage = LocalFolderStorage(str(tmp_path))
    for held_bytes in (0, 10_000):
        with PartWriter(storage, "parts/x", max_held_bytes=held_bytes) as writer:
            writer.add("a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

"""A job over a workbook gives the result files of a job over the same table as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import EngineConfig
from engine.errors import OptionError
from engine.staging.excel import stage
from engine.status import Status
from engine.storage import open_location
from tests import sample_handlers
from tests.staging.excel.workbooks import expected_text, write_openpyxl

HEADER = ["name", "day", "flag"]
ROWS: list[list[Any]] = [
    ["good", 1, True],
    ["bad", 2.5, False],
    [None, None, None],
    ["ü", "007", None],
    ["two\nlines", 0, 1],
]


def save_both(folder: Path) -> tuple[Path, Path]:
    rows = [HEADER, *ROWS * 200, ["end"] * 3]
    with open(folder / "people.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([expected_text(cell) for cell in row] for row in rows)
    return folder / "people.csv", write_openpyxl(folder / "people.xlsx", rows)


@pytest.mark.parametrize("mode", ["handler", "batch_handler"])
def test_the_result_files_are_those_of_the_csv(tmp_path: Path, mode: str) -> None:
    handler = sample_handlers.by_cell if mode == "handler" else sample_handlers.by_cell_in_batches
    found = []
    for source in save_both(tmp_path):
        output = tmp_path / source.suffix
        report = engine.run(source, output_dir=output, workers=1, chunk_size=300, **{mode: handler})
        assert report.job.status is Status.SUCCEEDED
        assert report.counts.processed_rows == report.job.total_rows == 1_001
        found.append([(output / f"people.{kind}.csv").read_bytes() for kind in ("success", "failed")])
        # Neither parts nor the staged copy are left.
        assert list(output.rglob("*.arrow")) == []
    assert found[0] == found[1]


def test_an_excel_file_of_refused_rows_comes_back_as_a_source(tmp_path: Path) -> None:
    source, _ = save_both(tmp_path)
    options: dict[str, Any] = {"handler": sample_handlers.by_cell, "workers": 1}
    engine.run(source, output_dir=tmp_path / "first", output_format="xlsx", **options)
    failed = tmp_path / "first" / "people.failed.xlsx"
    assert engine.inspect(failed).added_column == "import_error"
    rows = list(engine.read_rows(failed))
    assert rows == [["bad", "2.5", "FALSE"]] * 200
    report = engine.run(failed, output_dir=tmp_path / "second", **options)
    assert report.counts.failure_count == 200
    assert (tmp_path / "second" / "people.failed.failed.csv").read_text(encoding="utf-8").splitlines()[:2] == [
        "col_0,col_1,col_2,import_error",
        "bad,2.5,FALSE,row 1: bad",
    ]


def test_a_wrong_sheet_fails_the_job_before_any_row(tmp_path: Path) -> None:
    _, workbook = save_both(tmp_path)
    with pytest.raises(OptionError, match=r"has no sheet .x.*Sheet"):
        engine.run(workbook, handler=sample_handlers.by_cell, output_dir=tmp_path / "out", workers=1, sheet="x")
    assert engine.status(output_dir=tmp_path / "out").counts.processed_rows == 0


@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_a_workbook_in_a_bucket(
    tmp_path: Path,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    small_bytes: int,
) -> None:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", small_bytes)
    _, workbook = save_both(tmp_path)
    config = EngineConfig(s3_endpoint_url=moto_endpoint, scan_block_bytes=4_096, temp_dir=str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    url = f"s3://{s3_bucket(moto_endpoint)}/uploads/people.xlsx"
    storage, key = open_location(url, config)
    storage.write(key, workbook.read_bytes())
    assert list(engine.read_rows(url, config=config)) == list(engine.read_rows(workbook))
    assert list((tmp_path / "temp").iterdir()) == []

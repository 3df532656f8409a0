"""Local runs into S3: chunks grow once their rows turn out cheap; a folder takes them as they were planned."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import engine
from engine.ledger import open_ledger
from tests.in_process import numbered
from tests.runtime.conftest import LocalRuns

#: Six chunks of what a row handler gets where nothing is known of it.
ROWS = 150_000
BAD = range(7, ROWS, 1_000)


def parts_of(runs: LocalRuns, ledger: Any) -> list[int]:
    """Rows of each chunk that was run, in order."""
    books = open_ledger(f"sqlite:///{ledger}")
    try:
        job = books.jobs()[0]
        return [state.chunk.row_count for state in books.chunk_states(job.job_id) if state.chunk.row_count]
    finally:
        books.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_cheap_rows_come_in_larger_chunks_after_the_first_and_each_is_in_one_file(
    runs: LocalRuns,
    workers: int,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
    s3_client: Callable[[str], Any],
) -> None:
    runs.config = replace(runs.config, s3_endpoint_url=moto_endpoint)
    runs.write(ROWS, bad=BAD)
    bucket, ledger = s3_bucket(moto_endpoint), runs.folder / "ledger.sqlite3"
    report = engine.run(
        runs.source,
        "tests.sample_handlers.by_cell",
        output_dir=f"s3://{bucket}/out",
        ledger=str(ledger),
        workers=workers,
        config=runs.config,
    )
    assert (report.counts.success_count, report.counts.failure_count) == (ROWS - len(BAD), len(BAD))
    rows = parts_of(runs, ledger)
    assert sum(rows) == ROWS
    assert rows[0] == 25_000, "nothing was known when it began"
    assert max(rows) > 25_000

    def cells(kind: str) -> list[list[str]]:
        body = s3_client(moto_endpoint).get_object(Bucket=bucket, Key=f"out/people.{kind}.csv")["Body"].read()
        return [row[:2] for row in csv.reader(io.StringIO(body.decode(), newline=""))]

    header, (_, *written) = ["col_0", "col_1"], numbered(ROWS, bad=BAD)
    assert cells("success") == [header, *(row for row in written if row[1] != "bad")]
    assert cells("failed") == [header, *(row for row in written if row[1] == "bad")]


def test_chunks_of_a_run_into_a_folder_stay_as_they_were_planned(runs: LocalRuns) -> None:
    runs.write(ROWS)
    engine.run(
        runs.source,
        "tests.sample_handlers.by_cell",
        output_dir=runs.output,
        ledger=str(runs.folder / "ledger.sqlite3"),
        workers=2,
        config=runs.config,
    )
    assert parts_of(runs, runs.folder / "ledger.sqlite3") == [25_000] * 6

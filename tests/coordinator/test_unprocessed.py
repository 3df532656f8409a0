"""After a cancel or a fatal error the result files together hold every row of the source once."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import chunk_sizes
from engine.config import EngineConfig
from engine.errors import (
    SourceChangedError,
    SourceDamagedError,
    SourceTooLargeError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Chunk, Counts, Plan, ResultFiles
from engine.status import ChunkStatus, Phase, Status
from engine.table import TextPlanner
from tests.in_process import InProcess, csv_bytes, numbered, read_csv
from tests.readers.strategies import examples


def after_batches(count: int, action: Callable[[], Any]) -> Callable[[], bool]:
    """A `should_stop` that does something once, after so many batches, and never stops the chunk."""
    left = [count]

    def look() -> bool:
        left[0] -= 1
        if left[0] == 0:
            action()
        return False

    return look


def unprocessed(here: InProcess) -> list[list[str]]:
    return read_csv(here.result("unprocessed"))


def all_rows(here: InProcess) -> list[list[str]]:
    """The rows of all files there are, without headers and further cells, in the order of the row numbers."""
    found = [row[:-1] for kind in ("success", "failed") for row in read_csv(here.result(kind))[1:]]
    if here.result("unprocessed").exists():
        found += unprocessed(here)[1:]
    return sorted(found, key=lambda row: int(row[0].removeprefix("row ")))


@pytest.mark.parametrize("count_total_first", [True, False])
def test_a_cancel_leaves_the_rows_that_had_not_run_in_a_third_file(here: InProcess, count_total_first: bool) -> None:
    rows = numbered(30, bad=[2])
    here.plan(rows, "by_cell", chunk_size=10, batch_size=3, count_total_first=count_total_first)
    here.run_chunk(0)
    cancel = after_batches(1, lambda: here.coordinator().cancel(here.job_id))
    here.run_chunk(1, should_stop=cancel)
    job = here.finish()
    assert (job.status, job.counts.processed_rows) == (Status.CANCELLED, 16)
    assert job.result_files.unprocessed_url == str(here.result("unprocessed"))
    assert unprocessed(here) == [["col_0", "col_1"], *rows[17:]]
    assert all_rows(here) == rows[1:]
    assert here.parts() == []


CELLS = st.sampled_from(["", "a", "bad", "x, y", 'q"q', "two\nlines", " ", "ä"])


@examples(60)
@given(
    rows=st.lists(st.lists(CELLS, max_size=3), min_size=2, max_size=25),
    chunk_size=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    chunks=st.integers(1, 3),
    batches=st.integers(0, 4),
    output_format=st.sampled_from(["csv", "xlsx"]),
)
def test_whenever_a_job_is_cancelled_every_row_is_in_one_file(
    rows: list[list[str]], chunk_size: int, batch_size: int, chunks: int, batches: int, output_format: str
) -> None:
    folder = Path(tempfile.mkdtemp())
    here = InProcess(folder)
    try:
        # Numbered, since the three files are compared with the one source.
        source = [["number", "x"], *([str(number), *row] for number, row in enumerate(rows, 1))]
        here.plan(source, "by_cell", chunk_size=chunk_size, batch_size=batch_size, output_format=output_format)
        coordinator = here.coordinator()
        for index in range(min(chunks, here.chunk_count() - 1)):
            here.run_chunk(index)
        if batches:
            last = min(chunks, here.chunk_count() - 1)
            here.run_chunk(last, should_stop=after_batches(batches, lambda: coordinator.cancel(here.job_id)))
        coordinator.cancel(here.job_id)
        job = here.finish()
        done = job.counts.processed_rows
        assert (job.result_files.unprocessed_url is None) == (done in (0, len(rows)))
        found = [row[:-1] for kind in ("success", "failed") for row in table(here, kind, output_format)]
        if job.result_files.unprocessed_url:
            rest = table(here, "unprocessed", output_format)
            assert rest == source[done + 1 :]
            found += rest
        elif done == 0:
            found += source[1:]
        found.sort(key=lambda row: int(row[0]))
        assert found == source[1:]
    finally:
        here.close()
        shutil.rmtree(folder)


def table(here: InProcess, kind: str, output_format: str) -> list[list[str]]:
    """The rows of a result file below its header, by another reader than ours."""
    path = here.result(kind, output_format)
    if output_format == "csv":
        return read_csv(path)[1:]
    book = openpyxl.load_workbook(path)
    shown = []
    for cells in list(book.active.iter_rows(values_only=True))[1:]:  # type: ignore[union-attr]
        row = list(cells)
        while row and row[-1] is None:  # the sheet is as wide as its widest row
            row.pop()
        shown.append(["" if cell is None else str(cell) for cell in row])
    return shown


def test_broken_rows_keep_their_text(here: InProcess) -> None:
    lines = ["a,b", "1,x", '2,"never closed', "3,y", "4,z"]
    here.plan(("\n".join(lines) + "\n").encode(), "accept", chunk_size=1)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    job = here.finish()
    assert job.counts == Counts(success_count=1)
    assert unprocessed(here)[1:] == [["2", '"never closed'], ["3", "y"], ["4", "z"]]


def test_cells_that_a_spreadsheet_would_run_are_escaped_as_in_the_other_files(tmp_path: Path) -> None:
    here = InProcess(tmp_path, EngineConfig(escape_formulae=True, progress_interval_seconds=0))
    here.plan([["a"], ["=1+1"], ["=2+2"]], chunk_size=1)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    here.finish()
    assert (read_csv(here.result())[1][0], unprocessed(here)[1:]) == ("'=1+1", [["'=2+2"]])
    here.close()


def test_the_source_s_own_header_is_kept_where_it_was_asked_for(here: InProcess) -> None:
    here.plan(numbered(2), chunk_size=1, result_header="source")
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    here.finish()
    assert unprocessed(here) == [["name", "value"], ["row 2", "good"]]


def test_a_cancelled_scan_goes_on_without_running_chunks_once_rows_were_run(here: InProcess) -> None:
    config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    here.config = config
    rows = numbered(100)
    here.create(rows, chunk_size=5, count_total_first=False)
    coordinator = here.coordinator()
    seen = [0]

    def on_chunks() -> None:
        if not seen[0]:
            (first,) = coordinator.chunks_to_send(here.job_id, window=1)
            here.run_chunk(first)
            coordinator.cancel(here.job_id)
        seen[0] += 1
        assert coordinator.chunks_to_send(here.job_id) == []

    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert seen[0] > 2
    assert (here.job().phase, here.job().total_rows) == (Phase.CANCELLING, 100)
    job = here.finish()
    assert (job.status, job.counts.processed_rows) == (Status.CANCELLED, 5)
    assert all_rows(here) == rows[1:]


def test_a_scan_that_was_left_after_rows_were_run_is_taken_up_again_for_a_cancelled_job(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    rows = numbered(100)
    here.create(rows, chunk_size=5, count_total_first=False)
    coordinator = here.coordinator()
    coordinator.plan(here.job_id, should_stop=lambda: True)
    here.run_chunk(0)
    coordinator.cancel(here.job_id)
    coordinator.recover(here.job_id, here.executor)
    assert (here.executor.plans, here.executor.finishes) == (1, 0)
    here.coordinator("another").plan(here.job_id)
    here.finish()
    assert all_rows(here) == rows[1:]


# A fatal error


def test_after_a_fatal_error_running_chunks_end_and_what_was_done_is_merged(here: InProcess) -> None:
    rows = numbered(40, bad=[12])
    here.plan(rows, "by_cell", chunk_size=10, batch_size=2)
    here.run_chunk(0)
    coordinator = here.coordinator()
    coordinator.chunks_to_send(here.job_id)

    def fail() -> None:
        assert coordinator.fail(here.job_id, StorageError("full"))
        assert not coordinator.finish(here.job_id)

    here.run_chunk(1, should_stop=after_batches(1, fail))
    assert [state.status for state in here.ledger.chunk_states(here.job_id)] == [
        ChunkStatus.DONE,
        ChunkStatus.DONE,
        ChunkStatus.DROPPED,
        ChunkStatus.DROPPED,
    ]
    job = here.finish()
    assert (job.status, job.error_code, job.error_message) == (Status.FAILED, "storage_error", "full")
    assert job.counts == Counts(success_count=19, failure_count=1)
    assert unprocessed(here) == [["col_0", "col_1"], *rows[21:]]
    assert all_rows(here) == rows[1:]


def test_a_resumed_job_comes_to_the_files_of_an_undisturbed_one(here: InProcess, tmp_path: Path) -> None:
    rows = numbered(40, bad=[3, 12, 39])
    (tmp_path / "undisturbed").mkdir()
    undisturbed = InProcess(tmp_path / "undisturbed")
    undisturbed.run(rows, "by_cell", chunk_size=10)
    here.plan(rows, "by_cell", chunk_size=10)
    here.run_chunk(1)
    here.coordinator().fail(here.job_id, StorageError("full"))
    assert here.finish().status is Status.FAILED
    assert here.result("unprocessed").exists()
    assert here.parts() != []
    assert here.coordinator().resume(here.job_id).error_code is None
    here.run_all()
    job = here.finish()
    assert (job.status, job.error_code) == (Status.SUCCEEDED, None)
    assert job.result_files == ResultFiles(
        success_url=str(here.result("success")), failed_url=str(here.result("failed"))
    )
    assert here.results() == undisturbed.results()
    assert not here.result("unprocessed").exists()
    assert here.parts() == []
    undisturbed.close()


def test_a_job_of_which_nothing_was_processed_fails_without_files(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.coordinator().chunks_to_send(here.job_id)
    assert here.coordinator().fail(here.job_id, StorageError("full"))
    assert (here.job().status, here.job().result_files) == (Status.FAILED, ResultFiles())
    assert not here.result().exists()


def test_files_that_cannot_be_made_leave_the_first_error(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().fail(here.job_id, StorageUnavailableError("away"))
    away = here.output.with_name("away")
    here.output.rename(away)
    here.output.touch()
    job = here.finish()
    assert (job.status, job.error_code, job.error_message) == (Status.FAILED, "storage_unavailable", "away")
    assert (job.counts, job.result_files) == (Counts(success_count=10), ResultFiles())
    here.output.unlink()
    away.rename(here.output)
    here.coordinator().resume(here.job_id)
    here.run_all()
    assert here.finish().counts == Counts(success_count=20)


def test_a_scan_that_fails_after_rows_were_run_leaves_their_files_and_says_what_is_missing(here: InProcess) -> None:
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    here.create(numbered(1000), chunk_size=5, count_total_first=False)
    coordinator = here.coordinator()
    done: list[int] = []

    def on_chunks() -> None:
        if not done:
            done.extend(coordinator.chunks_to_send(here.job_id, window=1))
            here.run_chunk(done[0])
            os.truncate(here.source, 200)

    with pytest.raises(SourceChangedError):
        coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert here.job().phase is Phase.FAILING
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "source_changed", Counts(success_count=5))
    assert len(read_csv(here.result())) == 6
    assert job.result_files.unprocessed_url is None
    assert "The rows that were not processed have no file" in str(job.error_message)


@pytest.mark.parametrize("is_size_given", [True, False])
@pytest.mark.parametrize("output_format", ["csv", "xlsx"])
def test_a_scan_that_breaks_off_leaves_no_row_without_a_file(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, output_format: str, is_size_given: bool
) -> None:
    """It met a limit of rows, which does not keep the others from being read."""
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100, max_rows=60)
    rows = numbered(100)
    monkeypatch.setitem(chunk_sizes.UNKNOWN_ROWS, "row", 5)
    sizes = {"chunk_size": 5} if is_size_given else {}
    here.create(rows, count_total_first=False, output_format=output_format, **sizes)
    coordinator = here.coordinator()
    done: list[int] = []

    def on_chunks() -> None:
        if not done:
            done.extend(coordinator.chunks_to_send(here.job_id, window=1))
            here.run_chunk(done[0])

    with pytest.raises(SourceTooLargeError):
        coordinator.plan(here.job_id, on_chunks=on_chunks)
    planned = here.chunk_count()
    assert 5 < 5 * planned < 100
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "source_too_large", Counts(success_count=5))
    if output_format == "csv":
        assert all_rows(here) == rows[1:]
    else:
        sheet = openpyxl.load_workbook(here.result("unprocessed", "xlsx")).worksheets[0]
        assert [list(row) for row in sheet.iter_rows(min_row=2, values_only=True)] == rows[6:]


def test_a_rest_that_cannot_be_scanned_is_said_to_be_missing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    rows = numbered(100)
    here.create(rows, chunk_size=5, count_total_first=False)
    coordinator = here.coordinator()
    chunks, done = TextPlanner.chunks, list[int]()

    def broken(self: TextPlanner, plan: Plan) -> Iterator[list[Chunk]]:
        for number, found in enumerate(chunks(self, plan)):
            if number == 3:
                raise SourceDamagedError("It breaks off.")
            yield found

    monkeypatch.setattr(TextPlanner, "chunks", broken)

    def on_chunks() -> None:
        if not done:
            done.extend(coordinator.chunks_to_send(here.job_id, window=1))
            here.run_chunk(done[0])

    with pytest.raises(SourceDamagedError):
        coordinator.plan(here.job_id, on_chunks=on_chunks)
    planned = here.chunk_count()
    job = here.finish()
    assert all_rows(here) == rows[1 : 1 + 5 * planned]
    assert job.error_message == (
        "It breaks off. The file of the rows that were not processed ends where the source cannot be read: "
        "It breaks off."
    )


def test_a_source_that_was_replaced_before_its_first_row_says_that_its_rows_are_nowhere(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    os.utime(here.source, (1, 1))
    with pytest.raises(SourceChangedError) as caught:
        here.run_chunk(0)
    assert here.coordinator().fail(here.job_id, caught.value)
    job = here.job()
    assert (job.status, job.error_code, job.result_files) == (Status.FAILED, "source_changed", ResultFiles())
    assert str(job.error_message).endswith(
        "None of its rows was processed; the object that held them is gone, or another one by now."
    )


def test_an_error_while_the_scan_runs_lets_the_scan_end(here: InProcess) -> None:
    here.config = EngineConfig(progress_interval_seconds=0, scan_block_bytes=100)
    rows = numbered(100)
    here.create(rows, chunk_size=5, count_total_first=False)
    coordinator = here.coordinator()
    done: list[int] = []

    def on_chunks() -> None:
        if not done:
            done.extend(coordinator.chunks_to_send(here.job_id, window=1))
            here.run_chunk(done[0])
            assert here.coordinator("worker").fail(here.job_id, StorageError("elsewhere"))
            assert (here.job().phase, here.job().owner) == (Phase.SCANNING, "coordinator")
        assert coordinator.chunks_to_send(here.job_id) == []

    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert (here.job().phase, here.job().total_rows) == (Phase.FAILING, 100)
    job = here.finish()
    assert (job.status, job.error_message) == (Status.FAILED, "elsewhere")
    assert all_rows(here) == rows[1:]
    coordinator.resume(here.job_id)
    here.run_all()
    assert here.finish().counts == Counts(success_count=100)


def test_a_cancelled_job_says_why_its_third_file_is_missing(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    os.utime(here.source, (1, 1))
    here.coordinator().cancel(here.job_id)
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.CANCELLED, "source_changed", Counts(success_count=10))
    assert job.result_files.unprocessed_url is None
    assert len(read_csv(here.result())) == 11


def test_without_result_files_there_is_no_third_either(tmp_path: Path) -> None:
    here = InProcess(tmp_path, EngineConfig(enable_result_files=False, progress_interval_seconds=0))
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().fail(here.job_id, StorageError("full"))
    job = here.finish()
    assert (job.status, job.result_files, job.error_message) == (Status.FAILED, ResultFiles(), "full")
    here.close()


def test_a_chunk_of_a_dead_process_is_unprocessed(here: InProcess) -> None:
    rows = numbered(30)
    here.plan(rows, chunk_size=10)
    here.run_chunk(0)
    assert here.ledger.claim(here.job_id, 1, owner="dies", token="t") is not None  # noqa: S106
    here.coordinator().fail(here.job_id, StorageError("full"))
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 1)
    here.finish()
    assert all_rows(here) == rows[1:]


def test_the_file_can_be_imported_as_it_is(here: InProcess, tmp_path: Path) -> None:
    rows = [["n", "x"], ["1", "a"], ["2", 'quo"te'], [], ["4", "two\nlines"], [""], ["6"]]
    here.plan(csv_bytes(rows), "accept", chunk_size=1)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    here.finish()
    data = here.result("unprocessed").read_bytes()
    assert list(csv.reader(io.StringIO(data.decode(), newline="")))[1:] == rows[2:]
    (tmp_path / "again").mkdir()
    again = InProcess(tmp_path / "again")
    job = again.run(data, "accept")
    assert job.counts == Counts(success_count=5)
    assert [row[:-1] for row in read_csv(again.result())[1:]] == rows[2:]
    again.close()

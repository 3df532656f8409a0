"""A batch handler makes of a source what the row handler with the same decisions makes of it."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.chunk_runner import outcome_writer
from engine.errors import OptionError
from engine.model import Counts
from engine.status import Status
from tests.in_process import HANDLERS, InProcess, csv_bytes, numbered, read_csv
from tests.readers.strategies import examples
from tests.runtime.conftest import LocalRuns
from tests.runtime.test_local_deaths import DIED

ROWS = 300
CELLS = st.sampled_from(["", "good", "bad", "bad, too", "crash", "ü", "two\nlines", '"'])


def results_of(data: bytes, handler: str, handler_mode: str, **options: int | str) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        here = InProcess(Path(folder))
        try:
            here.source.write_bytes(data)
            here.job_id = (
                here.coordinator()
                .create(
                    str(here.source),
                    f"{HANDLERS}.{handler}",
                    engine.ImportOptions.from_mapping(options),
                    str(here.output),
                    handler_mode=handler_mode,  # type: ignore[arg-type]
                )
                .job_id
            )
            here.coordinator().plan(here.job_id)
            here.run_all()
            here.finish()
            return here.results()
        finally:
            here.close()


@examples(60)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=25),
    row_chunk_size=st.integers(1, 30),
    chunk_size=st.integers(1, 30),
    batch_size=st.integers(1, 30),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from(",;"),
    handler=st.sampled_from(["by_cell_in_batches", "by_cell_in_columns"]),
)
def test_both_modes_give_the_same_files(
    rows: list[list[str]],
    row_chunk_size: int,
    chunk_size: int,
    batch_size: int,
    quoting: Literal[0, 1],
    delimiter: str,
    handler: str,
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, delimiter=delimiter).writerows([["a", "a", ""], *rows])
    data = text.getvalue().encode()
    dialect = {"delimiter": delimiter, "quote_char": '"'}
    expected = results_of(data, "by_cell_or_crash", "row", chunk_size=row_chunk_size, **dialect)
    given = results_of(data, handler, "batch", chunk_size=chunk_size, batch_size=batch_size, **dialect)
    assert given == expected


@pytest.mark.parametrize("few", [0, 1_000], ids=["by polars", "by Python"])
def test_messages_are_counted_as_in_row_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(outcome_writer, "_FEW_MESSAGES", few)
    rows = [["name", "value"], *([f"{number}", "bad" + number % 30 * "!"] for number in range(90))]
    counted = []
    for handler, mode in (("by_cell_or_crash", "row"), ("by_cell_in_columns", "batch")):
        (folder := tmp_path / mode).mkdir()
        here = InProcess(folder)
        here.source.write_bytes(csv_bytes(rows))
        options = engine.ImportOptions.from_mapping({"batch_size": 40})
        here.job_id = (
            here.coordinator()
            .create(str(here.source), f"{HANDLERS}.{handler}", options, str(here.output), handler_mode=mode)  # type: ignore[arg-type]
            .job_id
        )
        here.coordinator().plan(here.job_id)
        here.run_all()
        counted.append(here.ledger.messages(here.job_id))
        here.close()
    assert counted[0] == counted[1]
    assert counted[0]


def test_rows_that_cannot_be_read_or_do_not_fit_fail_alone() -> None:
    data = b'a,b\n1,good\n2\n3,"open\n4,good,more\n5,bad\n6,\xff\n'
    success, failed = results_of(data, "by_cell_in_batches", "batch", encoding="utf-8")
    assert [line.split(b",")[0] for line in success.splitlines()[1:]] == [b"1"]
    messages = failed.decode().splitlines()[1:]
    assert [message.split(",")[0] for message in messages] == ["2", "3", "4", "5", "6"]
    assert "The row has 1 cell, the table has 2 columns." in messages[0]
    assert "no closing" in messages[1]
    assert "The row has 3 cells" in messages[2]
    assert messages[3] == "5,bad,row 5: bad"
    assert "some of its bytes are not text" in messages[4]


def test_processes_run_batches_of_their_own_default_size(runs: LocalRuns) -> None:
    runs.write(ROWS, bad=[7, 150])
    report = engine.run(
        runs.source,
        batch_handler=f"{HANDLERS}.by_cell_in_batches",
        output_dir=runs.output,
        workers=2,
        config=runs.config,
    )
    assert (report.job.status, report.counts) == (Status.SUCCEEDED, Counts(success_count=298, failure_count=2))
    assert (report.job.handler_mode, report.job.options["batch_size"]) == ("batch", 20_000)
    assert runs.results() == runs.undisturbed("by_cell")


def test_only_the_rows_that_kill_their_process_fail_in_batches(runs: LocalRuns) -> None:
    runs.write(ROWS)
    report = runs.run("exits_in_batches", poison=[60, 137], chunk_size=100, batch_size=50)
    assert report.counts == Counts(success_count=ROWS - 2, failure_count=2)
    assert read_csv(runs.output / "people.failed.csv")[1:] == [[f"row {row}", "good", DIED] for row in (60, 137)]


def test_a_job_has_one_handler(runs: LocalRuns) -> None:
    runs.source.write_bytes(csv_bytes(numbered(1)))
    with pytest.raises(OptionError, match="either handler or batch_handler"):
        engine.run(runs.source, output_dir=runs.output)
    with pytest.raises(OptionError, match="either handler or batch_handler"):
        engine.run(runs.source, f"{HANDLERS}.accept", batch_handler=f"{HANDLERS}.accept", output_dir=runs.output)

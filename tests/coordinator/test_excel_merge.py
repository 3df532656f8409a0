"""Excel files made by several together: the same bytes whoever helps, dies, or comes too late."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fastexcel
import pytest

import engine
from engine.coordinator import excel_results
from engine.coordinator.helping import MergeHelper
from engine.errors import ServiceUnavailableError
from engine.results import sheet_fragments
from engine.runtime.job_steps import JobSteps
from engine.status import Phase, Status
from tests.in_process import HANDLERS, InProcess, RecordingExecutor, numbered

ROWS, FRAGMENT_ROWS = 50, 4
#: Of the 48 accepted rows and of the two refused ones.
FRAGMENTS = 12 + 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A job of which nothing but the merge is left."""
    monkeypatch.setattr(sheet_fragments, "FRAGMENT_ROWS", FRAGMENT_ROWS)
    made = InProcess(tmp_path)
    made.plan(numbered(ROWS, bad=[5, 33]), "by_cell", chunk_size=7, output_format="xlsx")
    made.run_all()
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> tuple[bytes, bytes]:
    """The files as one process makes them of other chunks, in fragments of the same size."""
    folder = tmp_path / "alone"
    folder.mkdir()
    other = InProcess(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheet_fragments, "FRAGMENT_ROWS", FRAGMENT_ROWS)
        other.run(numbered(ROWS, bad=[5, 33]), "by_cell", chunk_size=1000, output_format="xlsx")
    other.close()
    return excel_files(other)


def excel_files(here: InProcess) -> tuple[bytes, bytes]:
    return here.result("success", "xlsx").read_bytes(), here.result("failed", "xlsx").read_bytes()


def fragments(here: InProcess) -> list[Path]:
    return [path for path in here.parts() if path.suffix == ".deflate"]


class Helpers(RecordingExecutor):
    """Others that help at once, each with so many pieces."""

    def __init__(self, here: InProcess, pieces_each: int) -> None:
        super().__init__()
        self.made = 0
        self._here = here
        self._pieces_each = pieces_each

    def send_help(self, job_id: str, position: int, step: int) -> None:
        super().send_help(job_id, position, step)
        helper = MergeHelper(self._here.ledger, self._here.config)
        following: int | None = position
        for _ in range(self._pieces_each):
            if following is None:
                return
            before = len(fragments(self._here))
            following = helper.help(job_id, following, step)
            self.made += len(fragments(self._here)) - before


@pytest.mark.parametrize(("pieces_each", "made"), [(0, 0), (1, 12), (2, 13), (100, 13)])
def test_the_files_do_not_depend_on_who_helps(
    here: InProcess, alone: tuple[bytes, bytes], pieces_each: int, made: int
) -> None:
    helpers = Helpers(here, pieces_each)
    assert here.coordinator().finish(here.job_id, helpers)
    assert helpers.made == made
    assert [position for position, _ in helpers.helps] == list(range(FRAGMENTS - 1, 0, -1))
    assert excel_files(here) == alone
    assert here.parts() == []
    assert here.job().status is Status.SUCCEEDED


def test_a_window_bounds_the_orders_and_each_helper_goes_on_by_itself(
    tmp_path: Path, here: InProcess, alone: tuple[bytes, bytes]
) -> None:
    object.__setattr__(here.config, "window", 3)
    helpers = Helpers(here, 100)
    assert here.coordinator().finish(here.job_id, helpers)
    assert helpers.helps == [(12, 3), (11, 3), (10, 3)]
    assert helpers.made == FRAGMENTS
    assert excel_files(here) == alone


def test_a_merge_that_was_killed_goes_on_with_what_is_there(
    here: InProcess, alone: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = excel_results.ExcelWork.make
    made: list[int] = []

    def killed_after_five(self: excel_results.ExcelWork, position: int) -> object:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(position)
        return make(self, position)

    monkeypatch.setattr(excel_results.ExcelWork, "make", killed_after_five)
    with pytest.raises(KeyboardInterrupt):
        here.coordinator("first").finish(here.job_id)
    assert len(fragments(here)) == 5
    assert (here.job().status, here.job().phase) == (Status.RUNNING, Phase.PROCESSING)
    made.clear()
    monkeypatch.setattr(
        excel_results.ExcelWork, "make", lambda self, position: [made.append(position), make(self, position)][1]
    )
    assert here.coordinator("second").finish(here.job_id)
    assert made == list(range(5, FRAGMENTS))
    assert excel_files(here) == alone


def test_help_before_or_after_the_merge_does_nothing_and_leaves_nothing(here: InProcess) -> None:
    helper = MergeHelper(here.ledger, here.config)
    assert helper.help(here.job_id, 3, 1) is None
    assert fragments(here) == []
    here.finish()
    assert helper.help(here.job_id, 3, 1) is None
    assert here.parts() == []


def test_a_piece_that_comes_after_the_sweep_is_taken_away_again(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = excel_results.ExcelWork.make
    late = MergeHelper(here.ledger, here.config)
    orders: list[int] = []

    def make_while_the_job_ends(self: excel_results.ExcelWork, position: int, **more: object) -> object:
        if "should_stop" in more:  # a helper
            monkeypatch.setattr(excel_results.ExcelWork, "make", make)
            here.ledger.move_job(
                here.job_id, expected=[(Status.RUNNING, Phase.MERGING)], status=Status.FAILED, phase=None
            )
            return make(self, position)
        orders.append(position)
        assert late.help(here.job_id, FRAGMENTS - 1, 1) is None
        raise KeyboardInterrupt

    monkeypatch.setattr(excel_results.ExcelWork, "make", make_while_the_job_ends)
    with pytest.raises(KeyboardInterrupt):
        here.coordinator().finish(here.job_id)
    assert orders == [0]
    assert fragments(here) == []


def test_a_merge_that_another_took_over_leaves_nothing_behind(
    here: InProcess, alone: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = excel_results.ExcelWork.make

    def overtaken(self: excel_results.ExcelWork, position: int) -> object:
        if position == 3:
            monkeypatch.setattr(excel_results.ExcelWork, "make", make)
            monkeypatch.setattr("engine.ledger.owner.is_dead", lambda owner: owner == "slow")
            quick = here.coordinator("quick")
            quick.recover(here.job_id, here.executor)
            assert quick.finish(here.job_id)
            # Read before the sweep, as it were; the parts are gone for the others.
            self._output.write(
                f".rowmill/parts/{here.job_id}/sheets/success/00000003-00000000-1-1-1-00000000.deflate", b"x"
            )
        return make(self, position)

    monkeypatch.setattr(excel_results.ExcelWork, "make", overtaken)
    assert not here.coordinator("slow").finish(here.job_id)
    assert here.job().status is Status.SUCCEEDED
    assert excel_files(here) == alone
    assert here.parts() == []


def test_without_a_broker_the_merge_is_done_alone(here: InProcess, alone: tuple[bytes, bytes]) -> None:
    class Away(RecordingExecutor):
        def send_help(self, job_id: str, position: int, step: int) -> None:
            raise ServiceUnavailableError("The broker is away.", service="broker")

    assert here.coordinator().finish(here.job_id, Away())
    assert excel_files(here) == alone


def test_a_worker_has_the_next_piece_made_after_its_own(here: InProcess) -> None:
    orders = RecordingExecutor()

    class Once(RecordingExecutor):
        def send_help(self, job_id: str, position: int, step: int) -> None:
            if not orders.helps:
                JobSteps(here.coordinator("helper"), here.runner("helper"), orders).help(job_id, position, step)

    assert here.coordinator().finish(here.job_id, Once())
    assert orders.helps == [(FRAGMENTS - 1 - 12, 12)]


def test_two_processes_make_the_file_that_one_makes(tmp_path: Path) -> None:
    source = tmp_path / "numbers.csv"
    rows = 3 * sheet_fragments.FRAGMENT_ROWS // 2
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "value"])
        writer.writerows([f"row {number}", "bad" if number % 1000 == 0 else f"{number:05d}"] for number in range(rows))
    files = []
    for workers in (1, 2):
        output = tmp_path / str(workers)
        report = engine.run(source, f"{HANDLERS}.by_cell", output_dir=output, workers=workers, output_format="xlsx")
        assert report.counts.processed_rows == rows
        files.append((output / "numbers.success.xlsx").read_bytes())
    assert files[0] == files[1]
    with zipfile.ZipFile(output / "numbers.success.xlsx") as archive:
        assert archive.testzip() is None
    found = fastexcel.read_excel(output / "numbers.success.xlsx").load_sheet("rows", dtypes="string").to_arrow()
    expected = [f"{number:05d}" for number in range(rows) if number % 1000]
    assert found.column("col_1").to_pylist() == expected

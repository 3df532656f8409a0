"""A source whose rows nobody wants any more is not staged to its end, whatever its kind is."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from backports import zstd

from engine.config import EngineConfig
from engine.coordinator import planning
from engine.model import Job
from engine.options import ImportOptions
from engine.staging.excel import stage
from engine.status import Phase, Status
from engine.storage import open_storage
from engine.table import TablePlanner, pin_source
from tests import own_children
from tests.in_process import InProcess

ROWS = [[f"row {number}", "some text, ü, " * 4] for number in range(20_000)]
TEXT = "name,text\n" + "".join(f'{name},"{text}"\n' for name, text in ROWS)


def workbook() -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(ROWS):
            sheet.write_row(number, 0, row)
    return target.getvalue()


def parquet() -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"name": [row[0] for row in ROWS], "text": [row[1] for row in ROWS]}), target)
    return target.getvalue()


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("t.csv", TEXT)
    return target.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "utf-16": lambda: TEXT.encode("utf-16"),
    "gzip": lambda: gzip.compress(TEXT.encode(), 1),
    "zstd": lambda: zstd.compress(TEXT.encode("utf-16")),
    "zip": archive,
    "ndjson": lambda: "".join(json.dumps({"name": name, "text": text}) + "\n" for name, text in ROWS).encode(),
    "parquet": parquet,
    "xlsx": workbook,
}


@pytest.fixture(params=list(KINDS))
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "MAX_SMALL_BYTES", 0)
    path = tmp_path / "source"
    path.write_bytes(KINDS[request.param]())
    return path


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    with own_children.none_is_left():
        yield


class Cancelled(Exception):
    """What a checkpoint raises here."""


def stage_with(path: Path, checkpoint: Callable[[], None]) -> list[Path]:
    """What is in the workspace after the staging."""
    config = EngineConfig(scan_block_bytes=64 * 1024)
    planner = TablePlanner(
        pin_source(str(path), config),
        ImportOptions(),
        config,
        workspace=lambda: open_storage(str(path.parent / "workspace"), config),
        job_id="job",
        checkpoint=checkpoint,
    )
    try:
        planner.look()
    finally:
        found = [each for each in (path.parent / "workspace").rglob("*") if each.is_file()]
    return found


def test_it_ends_wherever_it_is_told_to_and_leaves_nothing(source: Path) -> None:
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    assert len(stage_with(source, count)) == 1
    assert calls >= 3
    for path in (source.parent / "workspace").rglob("*"):
        if path.is_file():
            path.unlink()
    for last in (1, 2, 3):  # how often one that waits for a process is called is a matter of time
        left = last

        def end() -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Cancelled

        with pytest.raises(Cancelled):
            stage_with(source, end)
        assert [each for each in (source.parent / "workspace").rglob("*") if each.is_file()] == [], last


class CancelsAtOnce:
    """A user who cancels as soon as the job is being scanned."""

    def __init__(self, here: InProcess) -> None:
        self._here = here

    def job_changed(self, job: Job) -> None:
        if job.phase is Phase.SCANNING and not job.cancel_requested:
            self._here.coordinator().cancel(job.job_id)


def test_a_cancel_is_noticed_before_the_source_is_staged(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_LOOK_SECONDS", 0.0)
    (tmp_path / "job").mkdir()
    here = InProcess(tmp_path / "job", EngineConfig(progress_interval_seconds=0, scan_block_bytes=64 * 1024))
    here.create(source.read_bytes(), count_total_first=False)
    here.coordinator(listener=CancelsAtOnce(here)).plan(here.job_id)
    job = here.finish()
    assert (job.status, job.counts.processed_rows) == (Status.CANCELLED, 0)
    assert job.plan is None  # it never came so far
    assert here.parts() == []
    here.close()

"""Result files of one source are never replaced by those of another, unless that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine
from engine.config import EngineConfig
from engine.errors import (
    InterruptedJobError,
    ObjectMissingError,
    ResultsExistError,
    SourceMissingError,
    TooManyErrorsError,
)
from engine.ledger import SqliteLedger
from engine.model import Job
from tests.cli.command_line import warm_rowmill
from tests.in_process import csv_bytes, numbered, read_csv

BAD = {2, 4, 6}


@pytest.fixture
def january(tmp_path: Path) -> Path:
    return source_in(tmp_path / "january")


@pytest.fixture
def february(tmp_path: Path) -> Path:
    """Another file of the same name."""
    return source_in(tmp_path / "february")


def source_in(folder: Path, name: str = "data.csv", count: int = 6) -> Path:
    folder.mkdir(exist_ok=True)
    source = folder / name
    source.write_bytes(csv_bytes(numbered(count, bad=BAD)))
    return source


def run(source: Path, **more: Any) -> engine.JobReport:
    out = source.parent.parent / "out"
    return engine.run(source, "tests.sample_handlers.by_cell", output_dir=out, workers=1, **more)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}


def test_another_source_of_the_same_name_is_refused_before_a_row_has_run(
    tmp_path: Path, january: Path, february: Path
) -> None:
    first = run(january)
    before = files_in(tmp_path)
    with pytest.raises(ResultsExistError, match="choose another --output-dir") as caught:
        run(february)
    assert caught.value.other_job_id == first.job.job_id
    assert str(january) in caught.value.message
    assert files_in(tmp_path) == before
    assert len(SqliteLedger(tmp_path / "out" / ".rowmill" / "ledger.sqlite3").jobs()) == 1


def test_it_may_be_asked_for_or_made_room_for(tmp_path: Path, january: Path, february: Path) -> None:
    run(january)
    second = run(february, overwrite=True)
    assert second.succeeded
    with pytest.raises(ResultsExistError):
        run(january)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in files_in(tmp_path):
        (tmp_path / "out" / name).rename(kept / name)
    assert run(january).succeeded


def test_the_same_source_again_replaces_its_own_files(tmp_path: Path, january: Path) -> None:
    run(january)
    january.write_bytes(csv_bytes(numbered(8, bad={8})))
    assert run(january).succeeded
    assert len(read_csv(tmp_path / "out" / "data.failed.csv")) == 2


@pytest.mark.parametrize(
    ("name", "options", "is_refused"),
    [
        ("data.tsv", {}, True),
        ("data.csv", {"output_format": "xlsx"}, False),
        ("data.other.csv", {}, False),
        ("dat.csv", {}, False),
    ],
)
def test_names_are_what_counts(
    january: Path, february: Path, name: str, options: dict[str, Any], is_refused: bool
) -> None:
    run(january)
    other = source_in(february.parent, name)
    if is_refused:
        with pytest.raises(ResultsExistError):
            run(other, **options)
    else:
        assert run(other, **options).succeeded


def test_files_of_a_job_that_the_ledger_does_not_know_are_somebody_elses(tmp_path: Path, january: Path) -> None:
    run(january)
    with pytest.raises(ResultsExistError, match="does not know"):
        run(january, ledger=str(tmp_path / "another.sqlite3"))


def test_a_job_that_has_not_ended_has_its_names_already(tmp_path: Path, january: Path, february: Path) -> None:
    with pytest.raises(ValueError, match="enough"):
        run(january, on_progress=lambda _report: (_ for _ in ()).throw(ValueError("enough")))
    assert files_in(tmp_path) == {}
    with pytest.raises(ResultsExistError, match="Resume or cancel that job first"):
        run(february)
    assert run(january, resume=True).succeeded


def test_without_result_files_nothing_is_replaced(january: Path, february: Path) -> None:
    run(january)
    assert run(february, config=EngineConfig(enable_result_files=False)).succeeded


def test_a_retry_takes_the_rows_of_its_own_job_only(tmp_path: Path, january: Path, february: Path) -> None:
    out = tmp_path / "out"
    first = run(january)
    second = run(february, overwrite=True)
    with pytest.raises(ObjectMissingError, match=f"replaced by that of job {second.job.job_id}"):
        engine.retry(first.job.job_id, output_dir=out, workers=1)
    retried = engine.retry(second.job.job_id, output_dir=out, workers=1)
    assert retried.counts.processed_rows == len(BAD)
    # The retry of a retry, and of the first job once more, are of the same source.
    assert engine.retry(retried.job.job_id, output_dir=out, workers=1).succeeded
    assert engine.retry(second.job.job_id, output_dir=out, workers=1).succeeded
    third = run(january, overwrite=True)
    with pytest.raises(ResultsExistError, match=r"Move that job's files away first\.$"):
        engine.retry(third.job.job_id, output_dir=out, workers=1)


def test_a_job_goes_on_only_where_no_other_source_has_taken_its_names(
    tmp_path: Path, january: Path, february: Path
) -> None:
    with pytest.raises(TooManyErrorsError):
        run(january, max_errors=1)
    failed = engine.status(output_dir=tmp_path / "out").job
    second = run(february, overwrite=True)
    before = files_in(tmp_path)
    with pytest.raises(ResultsExistError, match="run --resume --overwrite") as caught:
        run(january, max_errors=1, resume=True)
    assert caught.value.other_job_id == second.job.job_id
    with pytest.raises(ResultsExistError):
        engine.resume(failed.job_id, output_dir=tmp_path / "out", workers=1)
    assert files_in(tmp_path) == before
    assert run(january, max_errors=1, resume=True, overwrite=True).job.job_id == failed.job_id


def test_a_job_that_was_left_is_not_ended_over_the_files_of_another_source(
    tmp_path: Path, january: Path, february: Path
) -> None:
    def leave(report: engine.JobReport) -> None:
        if report.counts.processed_rows:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedJobError):
        run(january, on_progress=leave, chunk_size=2)
    left = engine.status(output_dir=tmp_path / "out").job.job_id
    run(february, overwrite=True)
    before = files_in(tmp_path)
    with pytest.raises(ResultsExistError):
        engine.cancel(left, output_dir=tmp_path / "out")
    assert files_in(tmp_path) == before
    for name in before:
        (tmp_path / "out" / name).unlink()
    assert engine.cancel(left, output_dir=tmp_path / "out").job.status == "cancelled"


def test_a_job_goes_on_that_was_told_to_replace_files(january: Path, february: Path) -> None:
    run(january)
    with pytest.raises(TooManyErrorsError):
        run(february, max_errors=1, overwrite=True)
    assert run(february, max_errors=1, resume=True).succeeded


def test_of_two_that_begin_at_the_same_moment_one_is_refused(
    january: Path, february: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowToBegin(SqliteLedger):
        """Another command is through with everything after this one has looked, and before it writes its job."""

        def create_job(self, job: Job, **more: Any) -> None:
            run(february)
            super().create_job(job, **more)

    monkeypatch.setattr("engine.runs.beginning.open_ledger", once(SlowToBegin, SqliteLedger))
    with pytest.raises(ResultsExistError, match=str(february)):
        run(january)
    assert len(SqliteLedger(january.parent.parent / "out" / ".rowmill" / "ledger.sqlite3").jobs()) == 1


def once(first: type[SqliteLedger], others: type[SqliteLedger]) -> Any:
    """Opens the first ledger as one kind, all later ones as the other."""
    kinds = iter([first])
    return lambda url, **more: next(kinds, others)(url.removeprefix("sqlite:///"), **more)


def test_links_name_what_they_lead_to(tmp_path: Path, january: Path, february: Path) -> None:
    first = run(january)
    (tmp_path / "link").symlink_to(january.parent)
    (tmp_path / "out-link").symlink_to(tmp_path / "out")
    assert run(tmp_path / "link" / january.name).succeeded
    handler, place = "tests.sample_handlers.by_cell", {"output_dir": tmp_path / "out-link", "workers": 1}
    assert engine.run(january, handler, **place).succeeded
    engine.run(february, handler, overwrite=True, **place)
    with pytest.raises(ObjectMissingError, match="has been replaced"):
        engine.retry(first.job.job_id, output_dir=tmp_path / "out", workers=1)


def test_what_a_job_of_the_same_source_left_when_it_was_killed_may_be_replaced(tmp_path: Path, january: Path) -> None:
    with pytest.raises(ValueError, match="enough"):
        run(january, on_progress=lambda _report: (_ for _ in ()).throw(ValueError("enough")))
    # As between the two files.
    (tmp_path / "out" / "data.success.csv").write_bytes(b"0,1\n")
    assert run(january).succeeded


def test_a_source_that_is_not_there_is_told_first(tmp_path: Path, january: Path) -> None:
    run(january)
    with pytest.raises(SourceMissingError):
        run(tmp_path / "januray" / january.name)


def test_the_command_says_so_and_takes_the_flag(tmp_path: Path, january: Path, february: Path) -> None:
    run(january)
    command = ("run", str(february), "--handler", "tests.sample_handlers.by_cell", "--output-dir", "out")
    refused = warm_rowmill(*command, cwd=tmp_path)
    assert refused.returncode == 22
    assert "--overwrite" in refused.stderr
    assert warm_rowmill(*command, "--overwrite", cwd=tmp_path).returncode == 0

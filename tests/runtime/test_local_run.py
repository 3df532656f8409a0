"""Runs in real worker processes that nothing disturbs, and the ways in which one can go wrong at the start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.coordinator.finishing import Finishing
from engine.errors import (
    HandlerError,
    InterruptedJobError,
    OutputNotWritableError,
    RowmillError,
    SourceChangedError,
    StorageError,
    TooManyErrorsError,
    WorkerLostError,
)
from engine.ledger import open_ledger
from engine.model import Chunk, Counts, Plan
from engine.progress import MemoryProgress
from engine.report import JobReport
from engine.runs import ledger_url_for
from engine.status import Phase, Status
from engine.table import TablePlanner
from tests.in_process import read_csv
from tests.runtime.conftest import LocalRuns

ROWS = 300


def ledger_of(runs: LocalRuns) -> Any:
    return open_ledger(ledger_url_for(None, runs.output, runs.config))


def fail_elsewhere(runs: LocalRuns) -> None:
    """As another process that meets an error does."""
    ledger = ledger_of(runs)
    Coordinator(ledger, MemoryProgress(), runs.config, owner="elsewhere").fail(
        ledger.jobs()[0].job_id, StorageError("the disk of another machine is full")
    )
    ledger.close()


def test_after_an_error_chunks_in_hand_end_and_the_files_hold_every_row_once(runs: LocalRuns) -> None:
    runs.write(100)

    def disturb(_report: JobReport) -> None:
        if runs.reached.exists() and not runs.gate.exists():
            fail_elsewhere(runs)
            runs.gate.touch()

    with pytest.raises(StorageError, match="the disk of another machine is full"):
        runs.run("waits", workers=1, chunk_size=10, on_progress=disturb, **runs.gates(15))
    job = runs.job()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "storage_error", Counts(success_count=20))
    rest = read_csv(job.result_files.unprocessed_url)[1:]
    assert [row[0] for row in rest] == [f"row {number}" for number in range(21, 101)]
    assert len(runs.calls()) == 20
    report = runs.run("waits", workers=1, chunk_size=10, resume=True, **runs.gates(15))
    assert (report.job.job_id, report.counts.success_count) == (job.job_id, 100)
    assert max(runs.calls().values()) == 1
    assert not (runs.output / "people.unprocessed.csv").exists()


def test_too_many_errors_end_a_run_early_and_a_resumed_one_gets_its_budget_anew(runs: LocalRuns) -> None:
    runs.write(1_000, bad=range(1, 1_000, 2))
    options: dict[str, Any] = {"workers": 1, "chunk_size": 50, "max_errors": 60}
    with pytest.raises(TooManyErrorsError, match="max_errors is 60"):
        runs.run("by_cell", **options)
    job = runs.job()
    assert (job.status, job.error_code) == (Status.FAILED, "too_many_errors")
    assert 60 < job.counts.failure_count < 200
    done = job.counts.processed_rows
    assert len(read_csv(job.result_files.unprocessed_url)) == 1 + 1_000 - done
    with pytest.raises(TooManyErrorsError, match="since it was resumed"):
        runs.run("by_cell", resume=True, **options)
    assert runs.job().counts.processed_rows >= done + 120


def test_a_paused_run_waits_and_goes_on_when_another_shell_says_so(runs: LocalRuns) -> None:
    runs.write(100)
    phases: list[str | None] = []

    def disturb(report: JobReport) -> None:
        phases.append(report.job.shown_phase)
        if runs.reached.exists() and not runs.gate.exists():
            engine.pause(output_dir=runs.output, config=runs.config)
            runs.gate.touch()
        elif phases[-1] == "paused" and phases.count("paused") == 4:
            assert report.counts.processed_rows == 20
            engine.resume(output_dir=runs.output, config=runs.config)

    report = runs.run("waits", workers=1, chunk_size=10, on_progress=disturb, **runs.gates(15))
    assert (report.job.status, report.counts.success_count) == (Status.SUCCEEDED, 100)
    assert phases.count("paused") >= 4
    assert max(runs.calls().values()) == 1


def test_files_do_not_depend_on_workers_chunks_and_batches(runs: LocalRuns) -> None:
    runs.write(ROWS, bad=range(5, ROWS, 7))
    expected = runs.undisturbed("by_cell")
    for number, (workers, chunk_size, batch_size, first) in enumerate(
        [(1, 1, 1, True), (2, 17, 5, False), (4, 100, 500, True), (4, 3, 2, False)]
    ):
        report = runs.run(
            "by_cell",
            output=runs.folder / f"out {number}",
            workers=workers,
            chunk_size=chunk_size,
            batch_size=batch_size,
            count_total_first=first,
        )
        assert report.counts == Counts(success_count=257, failure_count=43)
        assert runs.results(runs.folder / f"out {number}") == expected
    assert set(runs.calls().values()) == {4}


def test_progress_is_told_up_to_the_last_row(runs: LocalRuns) -> None:
    runs.write(ROWS)
    reports: list[JobReport] = []
    ended = runs.run("accept", on_progress=reports.append, chunk_size=50)
    processed = [report.counts.processed_rows for report in reports]
    assert processed == sorted(processed)
    assert processed[-1] == ended.counts.processed_rows == ROWS
    assert ended.percentage == 100.0
    assert ended.job.phase is None


def test_few_chunks_are_spread_over_the_workers(runs: LocalRuns) -> None:
    runs.write(2)
    marks = runs.folder / "marks"
    marks.mkdir()
    report = runs.run("meets", workers=2, chunk_size=1, marks=str(marks), rows=2)
    assert report.counts == Counts(success_count=2)


def test_a_source_that_is_only_a_header_succeeds(runs: LocalRuns) -> None:
    runs.write(0)
    report = runs.run("accept", count_total_first=False)
    assert (report.job.status, report.job.total_rows) == (Status.SUCCEEDED, 0)
    assert runs.results() == (b"col_0,col_1,import_result\r\n", b"col_0,col_1,import_error\r\n")


def test_what_a_handler_prints_does_not_mix_with_the_commands_output(
    runs: LocalRuns, capfd: pytest.CaptureFixture[str]
) -> None:
    runs.write(3)
    runs.run("prints")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert sorted(printed.err.splitlines()) == [f"a handler talks {n}" for n in (1, 2, 3)]


def test_several_runs_at_once_do_not_disturb_each_other(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed("by_index", refused_every=11)
    outputs = [runs.folder / f"out {number}" for number in range(3)]
    reports: list[JobReport] = []

    def run(output: Path) -> None:
        reports.append(runs.run("by_index", output=output, refused_every=11, chunk_size=20))

    threads = [threading.Thread(target=run, args=(output,)) for output in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.succeeded for report in reports] == [True] * 3
    assert [runs.results(output) for output in outputs] == [expected] * 3
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 3)


def test_two_runs_of_the_same_job_share_its_chunks(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    reports: list[JobReport] = []
    others: list[threading.Thread] = []

    def join(report: JobReport) -> None:
        if report.job.phase is Phase.PROCESSING and not others:
            others.append(threading.Thread(target=lambda: reports.append(run(lambda _: None))))
            others[0].start()

    def run(on_progress: Any) -> JobReport:
        return runs.run("accept", resume=True, chunk_size=5, on_progress=on_progress)

    reports.append(run(join))
    others[0].join()
    assert [report.succeeded for report in reports] == [True, True]
    assert reports[0].job.job_id == reports[1].job.job_id
    assert runs.results() == expected
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 1)


def test_a_job_that_has_succeeded_is_not_run_again_by_resuming(runs: LocalRuns) -> None:
    runs.write(5)
    first = runs.run("accept")
    assert runs.run("accept", resume=True).job.job_id == first.job.job_id
    assert runs.calls() == dict.fromkeys(range(1, 6), 1)
    assert runs.run("accept").job.job_id != first.job.job_id


def test_a_handler_that_takes_longer_to_import_than_a_lease_is_waited_for(
    runs: LocalRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_seconds = 3.0  # a process that lives is never kept from the processor for as long
    runs.config = EngineConfig(progress_interval_seconds=0, lease_seconds=lease_seconds)
    (runs.folder / "sample_slow_module.py").write_text(
        f"import time\nfrom tests.sample_handlers import accept\ntime.sleep({lease_seconds + 0.5})\n"
    )
    monkeypatch.syspath_prepend(runs.folder)
    runs.write(20)
    report = engine.run(
        runs.source,
        "sample_slow_module.accept",
        output_dir=runs.output,
        workers=2,
        config=runs.config,
        chunk_size=10,
        effects=str(runs.effects),
    )
    assert report.counts == Counts(success_count=20)
    assert runs.calls() == dict.fromkeys(range(1, 21), 1)


def test_tuples_among_the_options_do_not_hide_the_job_from_resuming(runs: LocalRuns) -> None:
    runs.write(5)
    first = runs.run("accept", tags=("a", "b"))
    assert runs.run("accept", tags=("a", "b"), resume=True).job.job_id == first.job.job_id


# Errors


def test_workers_that_end_at_once_fail_the_job(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(ROWS)
    with monkeypatch.context() as patch:
        patch.setattr("engine.runtime.local_process._BOOT", "raise SystemExit(3)")
        with pytest.raises(WorkerLostError, match=r"end as soon as they start \(exit code 3\)"):
            runs.run("accept")
    assert (runs.job().status, runs.job().error_code) == (Status.FAILED, "worker_lost")
    assert runs.run("accept", resume=True).succeeded
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 1)


def test_a_machine_that_starts_no_processes_fails_the_job(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(5)
    monkeypatch.setattr("sys.executable", str(runs.folder / "no such program"))
    with pytest.raises(WorkerLostError, match="No worker process can be started"):
        runs.run("accept")
    assert runs.job().error_code == "worker_lost"


def test_a_handler_that_only_the_workers_cannot_import_fails_the_job(
    runs: LocalRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import sample_handlers

    runs.write(5)
    monkeypatch.setattr(sample_handlers, "only_here", sample_handlers.accept, raising=False)
    with pytest.raises(HandlerError, match="has no 'only_here'"):
        runs.run("only_here")
    assert runs.job().error_code == "handler_not_loadable"


def test_a_handler_that_interrupts_ends_the_job_and_not_the_workers_one_after_another(runs: LocalRuns) -> None:
    runs.write(5)
    with pytest.raises(RowmillError, match="Internal error in chunk 0: KeyboardInterrupt"):
        runs.run("is_interrupted")
    assert runs.job().status is Status.FAILED


def test_a_source_replaced_mid_run_fails_the_job_and_keeps_what_was_done(runs: LocalRuns) -> None:
    runs.write(100)

    def replace(_report: JobReport) -> None:
        if runs.reached.exists() and not runs.gate.exists():
            runs.write(100, bad=[1])
            runs.gate.touch()

    with pytest.raises(SourceChangedError):
        runs.run("waits", workers=1, chunk_size=10, on_progress=replace, **runs.gates(15))
    job = runs.job()
    assert (job.status, job.error_code) == (Status.FAILED, "source_changed")
    assert job.counts == Counts(success_count=20)
    assert len(read_csv(job.result_files.success_url)) == 21
    assert job.result_files.unprocessed_url is None
    assert "The rows that were not processed have no file" in str(job.error_message)
    with pytest.raises(SourceChangedError):
        runs.run("waits", workers=1, chunk_size=10, resume=True, **runs.gates(15))


def test_a_merge_that_fails_is_done_again_by_resuming(runs: LocalRuns) -> None:
    runs.write(20)
    (runs.output / "people.failed.csv").mkdir(parents=True)
    with pytest.raises(OutputNotWritableError):
        runs.run("accept")
    assert runs.job().status is Status.FAILED
    (runs.output / "people.failed.csv").rmdir()
    assert runs.run("accept", resume=True).succeeded
    assert runs.calls() == dict.fromkeys(range(1, 21), 1)


def test_a_defect_in_the_scan_fails_the_job(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(20)
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: {}["x"])
    with pytest.raises(RowmillError, match="Internal error while scanning: KeyError: 'x'"):
        runs.run("accept")
    assert (runs.job().status, runs.job().error_code) == (Status.FAILED, "internal_error")


def test_an_error_of_the_callers_own_is_the_callers_and_the_job_can_be_resumed(runs: LocalRuns) -> None:
    runs.write(20)

    def fails(report: JobReport) -> None:
        if report.job.status is Status.RUNNING:
            raise LookupError("in the caller's progress bar")

    with pytest.raises(LookupError, match="progress bar"):
        runs.run("accept", on_progress=fails)
    assert runs.job().error_message == "Internal error: LookupError: in the caller's progress bar"
    assert runs.run("accept", resume=True).succeeded


def test_a_job_that_another_process_fails_is_an_error_here_too(runs: LocalRuns) -> None:
    runs.write(100)

    def elsewhere(report: JobReport) -> None:
        if runs.reached.exists() and report.job.status is Status.RUNNING and not runs.gate.exists():
            fail_elsewhere(runs)
            runs.gate.touch()

    with pytest.raises(StorageError, match="another machine"):
        runs.run("waits", chunk_size=10, on_progress=elsewhere, **runs.gates(15))
    assert runs.run("waits", chunk_size=10, resume=True, **runs.gates(15)).succeeded
    assert runs.calls() == dict.fromkeys(range(1, 101), 1)


def test_a_ledger_removed_mid_run_ends_the_run(runs: LocalRuns) -> None:
    runs.write(100)

    def remove(_report: JobReport) -> None:
        if runs.reached.exists() and not runs.gate.exists():
            for path in (runs.output / ".rowmill").glob("ledger.sqlite3*"):
                path.unlink()
            runs.gate.touch()

    with pytest.raises(RowmillError) as caught:
        runs.run("waits", chunk_size=10, on_progress=remove, **runs.gates(15))
    assert caught.value.code == "job_not_found"


# Interruptions within this process


def interrupt(_report: JobReport) -> None:
    raise KeyboardInterrupt


def endless_scan(planner: TablePlanner, plan: Plan, chunks: Any = TablePlanner.chunks) -> Iterator[list[Chunk]]:
    """Comes to the first chunks again and again."""
    first = next(chunks(planner, plan))
    while True:
        yield first


def test_an_interrupt_while_scanning_ends_the_scan_which_is_resumed_at_once(
    runs: LocalRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.write(ROWS)
    scans = threading.Event()

    def endless(planner: TablePlanner, plan: Plan) -> Iterator[list[Chunk]]:
        for chunk in endless_scan(planner, plan):
            scans.set()
            yield chunk

    def interrupt_the_scan(_report: JobReport) -> None:
        if scans.is_set():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("engine.table.TablePlanner.chunks", endless)
        with pytest.raises(InterruptedJobError) as caught:
            runs.run("accept", on_progress=interrupt_the_scan)
    job = runs.job()
    assert caught.value.job_id == job.job_id
    assert (job.status, job.phase, job.owner) == (Status.RUNNING, Phase.SCANNING, None)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("rowmill")] == []
    assert runs.run("accept", resume=True).job.job_id == job.job_id
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 1)


def test_an_interrupt_while_merging_is_resumed_at_once(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(ROWS)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Finishing, "_make_result_files", interrupted)
        with pytest.raises(InterruptedJobError):
            runs.run("accept")
    assert (runs.job().status, runs.job().phase) == (Status.RUNNING, Phase.PROCESSING)
    assert runs.run("accept", resume=True).succeeded
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 1)


def test_an_interrupt_after_the_end_does_not_hide_it(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(20)
    monkeypatch.setattr(Finishing, "_sweep", lambda *_: interrupt(None))  # type: ignore[arg-type]
    assert runs.run("accept").succeeded


def test_a_second_interrupt_however_soon_ends_the_run_as_the_first_does(runs: LocalRuns) -> None:
    runs.write(20)

    def look(report: JobReport) -> None:
        if report.job.status is Status.RUNNING:
            interrupt(report)

    with pytest.raises(InterruptedJobError):
        runs.run("accept", on_progress=look, on_interrupt=lambda: interrupt(None))  # type: ignore[arg-type]
    assert runs.run("accept", resume=True).succeeded


def test_a_resumed_run_does_not_wait_for_messages_of_the_interrupted_one(runs: LocalRuns) -> None:
    """Chunks in the queues of workers that have ended are sent in the ledger, and nobody picks them up."""
    runs.config = EngineConfig(progress_interval_seconds=0, resend_after_seconds=10_000, window=16)
    runs.write(ROWS)

    def interrupt_when_reached(_report: JobReport) -> None:
        if runs.reached.exists() and not runs.gate.exists():
            runs.gate.touch()
            raise KeyboardInterrupt

    with pytest.raises(InterruptedJobError):
        runs.run("waits", chunk_size=10, on_progress=interrupt_when_reached, **runs.gates(5))
    assert runs.job().counts == Counts()
    assert runs.run("waits", chunk_size=10, resume=True, **runs.gates(5)).succeeded
    assert runs.calls() == dict.fromkeys(range(1, ROWS + 1), 1)


# Cancel


@pytest.mark.parametrize("by", ["thread", "progress"])
def test_a_cancel_ends_with_the_batch_in_hand(runs: LocalRuns, by: str) -> None:
    runs.write(1000)

    def cancel() -> None:
        assert engine.cancel(output_dir=runs.output).job.cancel_requested

    def look(report: JobReport) -> None:
        if not runs.reached.exists():
            return
        if not cancels:
            cancels.append(threading.Thread(target=cancel))
            cancels[0].start() if by == "thread" else cancels[0].run()
        elif report.job.cancel_requested:
            # The workers are told in the same look; what they do next is the rest of this batch.
            runs.gate.touch()

    cancels: list[threading.Thread] = []
    report = runs.run("waits", workers=1, chunk_size=100, batch_size=10, on_progress=look, **runs.gates(155))
    assert (report.job.status, report.job.phase) == (Status.CANCELLED, None)
    assert report.counts == Counts(success_count=160)
    assert runs.calls() == dict.fromkeys(range(1, 161), 1)
    assert [row[0] for row in read_csv(runs.output / "people.success.csv")[1:]] == [f"row {n}" for n in range(1, 161)]
    assert read_csv(runs.output / "people.failed.csv") == [["col_0", "col_1", "import_error"]]
    assert engine.cancel(output_dir=runs.output).job.status is Status.CANCELLED


def test_a_cancel_while_scanning_ends_the_job(runs: LocalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(ROWS)

    def cancel(report: JobReport) -> None:
        if report.job.phase is Phase.SCANNING:
            engine.cancel(output_dir=runs.output)

    monkeypatch.setattr("engine.table.TablePlanner.chunks", endless_scan)
    assert runs.run("accept", on_progress=cancel).job.status is Status.CANCELLED
    assert not runs.effects.exists()

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.config import EngineConfig
from engine.coordinator.finishing import Finishing
from engine.errors import (
    HandlerError,
    InconsistentJobError,
    JobNotFoundError,
    OutputNotWritableError,
    RowmillError,
    ServiceUnavailableError,
    SourceChangedError,
    SourceEmptyError,
    SourceMissingError,
    StatusTransitionError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Counts, Job, ResultFiles
from engine.options import ImportOptions
from engine.progress import MemoryProgress
from engine.status import ChunkStatus, Phase, Status
from tests.in_process import InProcess, numbered, read_csv

LEASE_SECONDS = EngineConfig().lease_seconds


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


def tamper(here: InProcess, statement: str, *values: Any) -> None:
    """Change the books as no code of the engine would."""
    with closing(sqlite3.connect(here.folder / "ledger.sqlite3")) as connection, connection:
        connection.execute(statement, values)


def silence(here: InProcess, seconds: float = 10 * LEASE_SECONDS) -> None:
    """Nobody has said anything of the job for so long."""
    tamper(here, "UPDATE jobs SET heartbeat_at = heartbeat_at - ?", seconds)


def statuses(here: InProcess) -> list[ChunkStatus]:
    return [state.status for state in here.ledger.chunk_states(here.job_id)]


def state(job: Job) -> tuple[Status, Phase | None]:
    return job.status, job.phase


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.states: list[tuple[Status, Phase | None]] = []

    def job_changed(self, job: Job) -> None:
        self.states.append(state(job))


# The whole way


def test_a_job_goes_from_queued_to_succeeded(here: InProcess) -> None:
    told = Told()
    created = here.create(numbered(25, bad=[3, 17]), "by_cell", chunk_size=10)
    assert state(created) == (Status.QUEUED, None)
    coordinator = here.coordinator(listener=told)
    coordinator.plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)
    assert (here.job().total_rows, here.chunk_count()) == (25, 3)
    assert not coordinator.finish(here.job_id)
    here.run_all()
    assert coordinator.finish(here.job_id)
    job = here.job()
    assert told.states == [
        (Status.RUNNING, Phase.SCANNING),
        (Status.RUNNING, Phase.MERGING),
        (Status.SUCCEEDED, None),
    ]
    assert (job.counts, job.total_rows) == (Counts(success_count=23, failure_count=2), 25)
    assert (job.result_files.success_url, job.result_files.failed_url) == (
        str(here.result("success")),
        str(here.result("failed")),
    )
    assert job.started_at is not None
    assert job.finished_at is not None
    assert created.created_at <= job.started_at <= job.finished_at <= datetime.now(UTC)
    assert (job.error_code, job.error_message) == (None, None)
    assert here.parts() == []


def test_chunks_are_handed_out_once_and_never_more_than_the_window(here: InProcess) -> None:
    here.plan(numbered(50), chunk_size=10)
    first, second = here.coordinator("a"), here.coordinator("b")
    assert first.chunks_to_send(here.job_id, window=2) == [0, 1]
    assert second.chunks_to_send(here.job_id, window=2) == []
    here.run_chunk(0)
    assert second.chunks_to_send(here.job_id, window=2) == [2]
    assert first.chunks_to_send(here.job_id) == [3, 4]


def test_nothing_is_sent_of_a_job_that_is_not_processed(here: InProcess) -> None:
    coordinator = here.coordinator()
    here.create(numbered(5))
    assert coordinator.chunks_to_send(here.job_id) == []
    coordinator.plan(here.job_id)
    coordinator.cancel(here.job_id)
    assert coordinator.chunks_to_send(here.job_id) == []


def test_progress_is_known_from_the_start(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=5)
    here.run_chunk(0)
    assert here.coordinator().counts(here.job()) == Counts(success_count=5)
    here.progress.clear(here.job_id)
    here.run_chunk(1)
    here.progress.clear(here.job_id)
    assert here.coordinator().counts(here.job()) == Counts(success_count=10)
    here.run_all()
    assert here.coordinator().counts(here.finish()) == Counts(success_count=20)


# Refused before a job exists


def test_what_can_be_checked_at_once_is_checked_before_a_job_is_written(here: InProcess) -> None:
    good, options = "tests.sample_handlers.accept", ImportOptions()
    here.source.write_text("a\n1\n")
    (here.folder / "file").touch()
    cases: list[tuple[type[RowmillError], tuple[str, str, str]]] = [
        (SourceMissingError, (str(here.folder / "none.csv"), good, str(here.output))),
        (HandlerError, (str(here.source), "tests.sample_handlers.acept", str(here.output))),
        (OutputNotWritableError, (str(here.source), good, str(here.folder / "file" / "out"))),
    ]
    for error, (source, handler, output) in cases:
        with pytest.raises(error):
            here.coordinator().create(source, handler, options, output)
    assert here.ledger.jobs() == []


# Scanning


def test_an_unreadable_source_fails_the_job(here: InProcess) -> None:
    here.create(b"")
    with pytest.raises(SourceEmptyError):
        here.coordinator().plan(here.job_id)
    job = here.job()
    assert (state(job), job.error_code) == ((Status.FAILED, None), "source_empty")
    assert job.finished_at is not None


def test_a_defect_in_the_scan_fails_the_job_plainly(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(5))
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: 1 / 0)
    with pytest.raises(RowmillError, match="Internal error while scanning: ZeroDivisionError: division by zero"):
        here.coordinator().plan(here.job_id)
    assert (state(here.job()), here.job().error_code) == ((Status.FAILED, None), "internal_error")


def test_a_second_plan_does_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned twice"))
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    here.finish()
    here.coordinator("other").plan(here.job_id)


class Block:
    """Lets a test step in while a job is scanned."""

    def __init__(self, here: InProcess, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
        add_chunks = here.ledger.add_chunks

        def step_in(job_id: str, chunks: Any) -> None:
            monkeypatch.undo()
            add_chunks(job_id, chunks)
            action()

        monkeypatch.setattr(here.ledger, "add_chunks", step_in)


def test_of_two_planners_one_scans(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(5))
    others = [here.coordinator("other"), here.coordinator()]

    def others_try() -> None:
        monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned twice"))
        for other in others:
            other.plan(here.job_id)

    Block(here, monkeypatch, others_try)
    here.coordinator().plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)


@pytest.mark.parametrize("before", ["queued", "resumed"])
def test_of_two_planners_that_saw_the_same_job_one_scans(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The second has read the job before the first one moved it."""
    here.create(numbered(5))
    if before == "resumed":
        here.coordinator().fail(here.job_id, StorageError("away"))
        here.coordinator().resume(here.job_id)
    first, second = here.coordinator("first"), here.coordinator("second")
    seen = iter([here.job()])
    ledger_job = here.ledger.job
    scans: list[str] = []
    monkeypatch.setattr(second._planning, "_scan", lambda *_: scans.append("second"))

    def first_scans(*_: Any) -> None:
        scans.append("first")
        monkeypatch.setattr(here.ledger, "job", lambda job_id: next(seen, None) or ledger_job(job_id))
        second.plan(here.job_id)

    monkeypatch.setattr(first._planning, "_scan", first_scans)
    first.plan(here.job_id)
    assert scans == ["first"]
    assert here.job().owner == "first"


@pytest.mark.parametrize("gone", ["dead", "silent"])
def test_a_scan_whose_process_is_gone_starts_over(here: InProcess, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    here.create(numbered(25), chunk_size=10)
    monkeypatch.setattr("engine.ledger.owner.is_dead", lambda owner: owner in here.dead)

    class Dies(BaseException):
        pass

    def dies() -> None:
        raise Dies

    def leaves_no_word(*_: Any) -> None:
        pass

    first = here.coordinator("first")
    monkeypatch.setattr(first._desk, "_give_back", leaves_no_word)
    with monkeypatch.context() as patch:
        Block(here, patch, dies)
        with pytest.raises(Dies):
            first.plan(here.job_id)
    second = here.coordinator("second")
    second.plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.SCANNING)
    second.recover(here.job_id, here.executor)
    assert here.executor.plans == 0
    if gone == "dead":
        here.dead.add("first")
    else:
        silence(here)
    second.recover(here.job_id, here.executor)
    assert here.executor.plans == 1
    second.plan(here.job_id)
    assert (state(here.job()), here.chunk_count()) == ((Status.RUNNING, Phase.PROCESSING), 3)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_scan_that_is_interrupted_is_given_back_at_once(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(25))

    def interrupt() -> None:
        raise KeyboardInterrupt

    Block(here, monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        here.coordinator().plan(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator().plan(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.PROCESSING)


def test_a_scan_that_is_told_to_stop_is_given_back_at_once(here: InProcess) -> None:
    here.create(numbered(25))
    here.coordinator().plan(here.job_id, should_stop=lambda: True)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_scan_that_lost_its_job_changes_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent for too long, it was replaced; the other scan is what counts, whatever becomes of this one."""
    here.create(numbered(5))

    def replaced() -> None:
        silence(here)
        other = here.coordinator("other")
        monkeypatch.setattr(other._planning, "_scan", lambda *_: None)
        other.plan(here.job_id)
        raise StorageError("the first one's own trouble")

    Block(here, monkeypatch, replaced)
    here.coordinator("first").plan(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.SCANNING), "other")


def test_chunks_start_while_the_scan_goes_on_unless_the_total_is_wanted_first(here: InProcess) -> None:
    seen: list[tuple[Phase | None, list[int]]] = []
    coordinator = here.coordinator()

    def on_chunks() -> None:
        seen.append((here.job().phase, coordinator.chunks_to_send(here.job_id)))

    here.create(numbered(25), chunk_size=10, count_total_first=False)
    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert seen[0][0] is Phase.SCANNING
    assert seen[0][1][0] == 0
    assert seen[-1][0] is Phase.PROCESSING
    here.create(numbered(25), chunk_size=10, count_total_first=True)
    seen.clear()
    coordinator.plan(here.job_id, on_chunks=on_chunks)
    assert seen == [(Phase.PROCESSING, [0, 1, 2])]


# Finishing


def test_of_two_callers_one_finishes(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()
    first, second = here.coordinator("first"), here.coordinator("second")
    merges: list[str] = []
    inner = Finishing._make_result_files

    def counted(finishing: Finishing, job: Job, *more: Any) -> Any:
        merges.append(finishing._desk.owner)
        assert not second.finish(here.job_id)
        return inner(finishing, job, *more)

    monkeypatch.setattr(Finishing, "_make_result_files", counted)
    assert first.finish(here.job_id)
    assert not second.finish(here.job_id)
    assert not first.finish(here.job_id)
    assert merges == ["first"]


def test_several_threads_finish_once(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    begin = threading.Barrier(4)
    ended: list[bool] = []

    def finish(number: int) -> None:
        begin.wait()
        ended.append(here.coordinator(f"owner-{number}").finish(here.job_id))

    threads = [threading.Thread(target=finish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False, False, False, True]


def merging(here: InProcess, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """A job whose merge was broken off with both files written, and nothing said."""

    class Dies(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Dies

    here.plan(numbered(30, bad=[7, 8]), "by_cell", chunk_size=10, **options)
    here.run_all()
    first = here.coordinator("first")
    with monkeypatch.context() as patch:
        make = Finishing._make_result_files
        patch.setattr(Finishing, "_make_result_files", lambda *arguments: dies(make(*arguments)))
        patch.setattr(first._desk, "_give_back", lambda *_: None)
        with pytest.raises(Dies):
            first.finish(here.job_id)
    assert state(here.job()) == (Status.RUNNING, Phase.MERGING)


def test_a_repeated_merge_gives_the_same_bytes(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    merging(here, monkeypatch)
    before = here.results()
    second = here.coordinator("second")
    second.recover(here.job_id, here.executor)
    assert (here.executor.finishes, here.job().phase) == (0, Phase.MERGING)
    silence(here)
    second.recover(here.job_id, here.executor)
    assert (here.executor.finishes, here.job().phase) == (1, Phase.PROCESSING)
    assert second.finish(here.job_id)
    assert here.results() == before
    assert here.job().counts == Counts(success_count=28, failure_count=2)


def test_an_interrupted_merge_is_given_back_at_once(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Finishing, "_make_result_files", interrupt)
        with pytest.raises(KeyboardInterrupt):
            here.coordinator().finish(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.PROCESSING), None)
    assert here.coordinator("other").finish(here.job_id)


def test_a_failed_merge_fails_the_job_which_can_be_resumed(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    here.result("failed").mkdir()
    with pytest.raises(OutputNotWritableError):
        here.coordinator().finish(here.job_id)
    job = here.job()
    assert (state(job), job.error_code) == ((Status.FAILED, None), "output_not_writable")
    assert job.counts == Counts(success_count=5)
    here.result("failed").rmdir()
    assert state(here.coordinator().resume(here.job_id)) == (Status.RUNNING, Phase.PROCESSING)
    assert here.finish().status is Status.SUCCEEDED


def test_a_defect_in_the_merge_fails_the_job_plainly(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()
    monkeypatch.setattr(Finishing, "_make_result_files", lambda *_: {}["x"])
    with pytest.raises(RowmillError, match="Internal error while merging: KeyError: 'x'"):
        here.coordinator().finish(here.job_id)
    assert (here.job().status, here.job().error_code) == (Status.FAILED, "internal_error")


def test_a_merge_that_another_took_over_does_not_fail_the_job(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds its parts swept away; the job has succeeded all the same."""
    here.plan(numbered(5))
    here.run_all()
    make = Finishing._make_result_files

    def overtaken(finishing: Finishing, job: Job, *more: Any) -> Any:
        if finishing._desk.owner == "slow":
            silence(here)
            quick = here.coordinator("quick")
            quick.recover(here.job_id, here.executor)
            assert quick.finish(here.job_id)
        return make(finishing, job, *more)

    monkeypatch.setattr(Finishing, "_make_result_files", overtaken)
    assert not here.coordinator("slow").finish(here.job_id)
    assert here.job().status is Status.SUCCEEDED
    assert len(read_csv(here.result())) == 6


def test_a_merge_in_other_hands_is_not_failed_by_the_slower_one(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(5))
    here.run_all()

    def taken_over(*_: Any) -> None:
        tamper(here, "UPDATE jobs SET owner = 'quick'")
        raise StorageUnavailableError("the slow one's own trouble")

    monkeypatch.setattr(Finishing, "_make_result_files", taken_over)
    assert not here.coordinator("slow").finish(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.MERGING), "quick")


def test_a_merge_that_ends_in_other_hands_does_not_end_the_job(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(5))
    here.run_all()
    make = Finishing._make_result_files

    def taken_over(finishing: Finishing, job: Job, *more: Any) -> Any:
        tamper(here, "UPDATE jobs SET owner = 'quick'")
        return make(finishing, job, *more)

    monkeypatch.setattr(Finishing, "_make_result_files", taken_over)
    assert not here.coordinator("slow").finish(here.job_id)
    assert (state(here.job()), here.job().owner) == ((Status.RUNNING, Phase.MERGING), "quick")
    assert here.parts() != []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE chunks SET success_count = success_count - 1 WHERE chunk_index = 1", "Chunk 1 of job .* is done"),
        ("UPDATE chunks SET failure_count = 1 WHERE chunk_index = 0", "Chunk 0 of job .* is done"),
        ("UPDATE chunks SET status = 'dropped' WHERE chunk_index = 2", "Chunk 2 of job .* is dropped"),
        ("DELETE FROM chunks WHERE chunk_index = 1", "has 25 rows, 15 of them in chunks and 15 with an outcome"),
        ("UPDATE jobs SET total_rows = 26", "has 26 rows, 25 of them in chunks and 25 with an outcome"),
        ("UPDATE chunks SET success_key = NULL WHERE chunk_index = 0", "Chunk 0 of job .* ran without result files"),
    ],
)
def test_counts_that_do_not_add_up_fail_the_job_and_say_how(here: InProcess, statement: str, says: str) -> None:
    here.plan(numbered(25), chunk_size=10)
    here.run_all()
    tamper(here, statement)
    with pytest.raises(InconsistentJobError, match=says):
        here.coordinator().finish(here.job_id)
    assert (here.job().status, here.job().error_code) == (Status.FAILED, "inconsistent")
    assert not here.result().exists()


@pytest.mark.parametrize("damage", [lambda part: part.unlink(), lambda part: part.write_bytes(b"short")])
def test_a_part_that_is_gone_or_cut_fails_the_job_without_a_file(
    here: InProcess, damage: Callable[[Path], None]
) -> None:
    here.plan(numbered(25), chunk_size=10)
    here.run_all()
    damage(here.parts()[1])
    with pytest.raises(StorageError):
        here.coordinator().finish(here.job_id)
    assert here.job().status is Status.FAILED
    assert not here.result().exists()


def test_the_sweep_leaves_other_jobs_parts(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    first, others = here.job_id, here.parts()
    here.run(numbered(7))
    assert here.parts() == others
    here.job_id = first
    here.finish()
    assert here.parts() == []


def test_a_sweep_that_fails_is_no_failure(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()

    def refuse(*_: Any) -> None:
        raise StorageError("not now")

    monkeypatch.setattr("engine.storage.local.LocalFolderStorage.delete", refuse)
    assert here.finish().status is Status.SUCCEEDED


# Cancelling


def test_a_queued_job_is_cancelled_at_once(here: InProcess) -> None:
    here.create(numbered(5))
    job = here.coordinator().cancel(here.job_id)
    assert (state(job), job.finished_at is not None) == ((Status.CANCELLED, None), True)
    here.coordinator().plan(here.job_id)
    assert here.job().status is Status.CANCELLED
    assert here.coordinator().cancel(here.job_id) == replace(
        job, seconds_since_heartbeat=pytest.approx(job.seconds_since_heartbeat, abs=5)
    )


def test_what_was_done_before_a_cancel_gets_its_files(here: InProcess) -> None:
    here.plan(numbered(30, bad=[2]), "by_cell", chunk_size=10)
    here.run_chunk(0)
    coordinator = here.coordinator()
    for _ in range(3):
        assert state(coordinator.cancel(here.job_id)) == (Status.RUNNING, Phase.CANCELLING)
    assert statuses(here) == [ChunkStatus.DONE, ChunkStatus.DROPPED, ChunkStatus.DROPPED]
    assert here.run_chunk(1) is Ran.NOTHING_TO_DO
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts(success_count=9, failure_count=1))
    assert len(read_csv(here.result("success"))) == 10
    assert len(read_csv(here.result("failed"))) == 2
    assert coordinator.cancel(here.job_id).status is Status.CANCELLED
    with pytest.raises(StatusTransitionError, match="is cancelled and cannot be resumed"):
        coordinator.resume(here.job_id)


def test_a_cancelled_job_waits_for_the_chunk_in_hand(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    claim = here.ledger.claim(here.job_id, 0, owner="dies", token="t")  # noqa: S106
    assert claim is not None
    here.coordinator().cancel(here.job_id)
    assert not here.coordinator().finish(here.job_id)
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 1)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts())
    assert read_csv(here.result()) == [["col_0", "col_1", "import_result"]]


@pytest.mark.parametrize("count_total_first", [True, False])
@pytest.mark.parametrize("by", ["this process", "another"])
def test_a_cancel_while_scanning_is_noticed_by_the_scan(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, by: str, count_total_first: bool
) -> None:
    here.create(numbered(25), chunk_size=10, count_total_first=count_total_first)
    canceller = here.coordinator("coordinator" if by == "this process" else "another")
    seen: list[tuple[Status, Phase | None]] = []

    def cancel() -> None:
        canceller.cancel(here.job_id)
        seen.append(state(here.job()))
        seen.append((here.job().status, here.coordinator("third").finish(here.job_id) or None))  # type: ignore[arg-type]

    Block(here, monkeypatch, cancel)
    here.coordinator().plan(here.job_id)
    assert seen == [(Status.RUNNING, Phase.SCANNING), (Status.RUNNING, None)]
    assert state(here.job()) == (Status.RUNNING, Phase.CANCELLING)
    assert set(statuses(here)) == {ChunkStatus.DROPPED}
    job = here.finish()
    assert (job.status, job.counts, here.parts()) == (Status.CANCELLED, Counts(), [])


def test_a_cancelled_scan_whose_process_is_gone_is_not_repeated(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.create(numbered(25))
    here.coordinator().plan(here.job_id, should_stop=lambda: True)
    here.coordinator().cancel(here.job_id)
    here.source.unlink()
    monkeypatch.setattr("engine.table.TablePlanner.look", lambda _: pytest.fail("scanned again"))
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.plans, here.executor.finishes) == (0, 1)
    assert here.finish().status is Status.CANCELLED


def test_a_cancel_after_the_last_row_ends_as_cancelled_with_every_row(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    here.coordinator().cancel(here.job_id)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, Counts(success_count=5))


def test_a_cancel_while_merging_changes_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(5))
    here.run_all()
    make = Finishing._make_result_files

    def cancelled(finishing: Finishing, job: Job, *more: Any) -> Any:
        assert state(here.coordinator("somebody").cancel(here.job_id)) == (Status.RUNNING, Phase.MERGING)
        return make(finishing, job, *more)

    monkeypatch.setattr(Finishing, "_make_result_files", cancelled)
    assert here.finish().status is Status.SUCCEEDED


def test_a_cancel_of_a_failed_job_is_not_held_against_its_resumption(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10, batch_size=1)
    here.coordinator().fail(here.job_id, StorageError("full"))
    assert here.coordinator().cancel(here.job_id).status is Status.FAILED
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert not snapshot.cancel_requested
    here.coordinator().resume(here.job_id)
    here.run_all()
    assert (here.finish().status, here.job().counts.processed_rows) == (Status.SUCCEEDED, 20)


def test_a_cancelled_job_that_failed_is_cancelled_when_it_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.coordinator().cancel(here.job_id)
    assert not here.coordinator().fail(here.job_id, StorageError("the cancel counts"))
    here.coordinator()._desk.end_failed(here.job_id, StorageError("the merge failed"))
    here.coordinator().resume(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.job().phase, here.executor.chunks, here.executor.finishes) == (Phase.CANCELLING, [], 1)
    assert (here.finish().status, here.job().counts.processed_rows) == (Status.CANCELLED, 10)


def test_a_job_that_is_not_there_cannot_be_cancelled(here: InProcess) -> None:
    with pytest.raises(JobNotFoundError):
        here.coordinator().cancel("no-such-job")


# Failing and resuming


def test_a_source_that_changed_mid_run_fails_the_job_and_keeps_what_was_done(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    os.utime(here.source, (1, 1))
    with pytest.raises(SourceChangedError) as caught:
        here.run_chunk(1)
    assert here.coordinator().fail(here.job_id, caught.value)
    assert state(here.job()) == (Status.RUNNING, Phase.FAILING)
    assert here.run_chunk(1) is Ran.NOTHING_TO_DO
    job = here.finish()
    assert (job.status, job.error_code, job.counts) == (Status.FAILED, "source_changed", Counts(success_count=10))
    assert len(read_csv(here.result())) == 11
    assert job.result_files.unprocessed_url is None
    assert job.error_message is not None
    assert "The rows that were not processed have no file" in job.error_message


def test_a_failed_job_goes_on_where_it_stopped(here: InProcess) -> None:
    effects = here.folder / "effects"
    here.plan(numbered(30), chunk_size=10, effects=str(effects))
    here.run_chunk(1)
    assert here.coordinator().fail(here.job_id, StorageError("full"))
    assert not here.coordinator().fail(here.job_id, StorageError("again"))
    assert here.finish().status is Status.FAILED
    assert not here.coordinator().fail(here.job_id, StorageError("again"))
    assert here.job().error_message == "full"
    job = here.coordinator().resume(here.job_id)
    assert (job.error_code, job.error_message, job.finished_at) == (None, None, None)
    here.run_all()
    here.finish()
    assert sorted(map(int, effects.read_text().split())) == list(range(1, 31))
    with pytest.raises(StatusTransitionError, match="is succeeded and cannot be resumed"):
        here.coordinator().resume(here.job_id)


def test_a_job_that_runs_or_waits_is_resumed_by_leaving_it_as_it_is(here: InProcess) -> None:
    here.create(numbered(5))
    assert state(here.coordinator().resume(here.job_id)) == (Status.QUEUED, None)
    here.coordinator().plan(here.job_id)
    assert state(here.coordinator().resume(here.job_id)) == (Status.RUNNING, Phase.PROCESSING)


def test_a_job_that_failed_in_its_scan_is_scanned_again(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.create(numbered(25), chunk_size=10)

    def away() -> None:
        raise StorageUnavailableError("away")

    Block(here, monkeypatch, away)
    with pytest.raises(StorageUnavailableError):
        here.coordinator().plan(here.job_id)
    job = here.coordinator().resume(here.job_id)
    assert (state(job), job.owner) == ((Status.RUNNING, Phase.SCANNING), None)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 1
    here.coordinator("other").plan(here.job_id)
    here.run_all()
    assert here.finish().counts.processed_rows == 25


def test_a_resumed_job_runs_the_chunks_of_dead_processes(here: InProcess) -> None:
    here.plan(numbered(30), chunk_size=10)
    here.coordinator().chunks_to_send(here.job_id, window=2)
    assert here.ledger.claim(here.job_id, 0, owner="dies", token="t") is not None  # noqa: S106
    here.coordinator().fail(here.job_id, StorageError("full"))
    assert state(here.job()) == (Status.RUNNING, Phase.FAILING)
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.finishes) == ([], 1)
    assert (here.finish().status, here.output.exists()) == (Status.FAILED, True)
    assert here.job().result_files == ResultFiles()
    here.coordinator().resume(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [0, 1, 2]


def test_a_commit_after_the_failure_counts_when_the_job_is_resumed(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10, batch_size=5)
    failed: list[bool] = []

    def fails_and_goes_on() -> bool:
        failed.append(here.coordinator().fail(here.job_id, StorageError("elsewhere")))
        return False

    assert here.run_chunk(0, should_stop=fails_and_goes_on) is Ran.DONE
    assert failed == [True]
    assert here.ledger.counts(here.job_id) == Counts(success_count=10)
    assert (here.finish().status, here.job().counts) == (Status.FAILED, Counts(success_count=10))
    here.coordinator().resume(here.job_id)
    here.run_all()
    assert here.finish().counts == Counts(success_count=20)


def test_a_message_of_any_characters_can_be_kept(here: InProcess) -> None:
    here.create(numbered(5))
    here.coordinator().fail(here.job_id, StorageError("file caf\udce9.csv\x00\n"))
    assert here.job().error_message == "file caf\\udce9.csv\x00\n"


# Recovering


def test_a_queued_job_that_nobody_took_is_planned_again(here: InProcess) -> None:
    here.create(numbered(5))
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 0
    silence(here)
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.plans == 1


def test_what_was_left_between_the_last_commit_and_the_merge_is_finished(here: InProcess) -> None:
    here.plan(numbered(5))
    here.run_all()
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.finishes == 1


def test_lost_messages_and_dead_workers_chunks_are_sent_again(here: InProcess) -> None:
    here.plan(numbered(50), chunk_size=10)
    assert here.coordinator().chunks_to_send(here.job_id, window=3) == [0, 1, 2]
    assert here.ledger.claim(here.job_id, 1, owner="dies", token="t") is not None  # noqa: S106
    here.dead.add("dies")
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [1, 3, 4]
    here.executor.chunks.clear()
    tamper(here, "UPDATE chunks SET changed_at = changed_at - 20 WHERE status = 'sent'")
    here.coordinator().recover(here.job_id, here.executor)
    assert here.executor.chunks == [0, 1, 2, 3, 4]


def test_lost_counters_are_rebuilt(here: InProcess) -> None:
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    here.progress.clear(here.job_id)
    here.coordinator().recover(here.job_id, here.executor)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert (snapshot.counts, snapshot.total_rows) == (Counts(success_count=10), 20)


def test_recovery_corrects_counters_whose_process_died_after_its_commit(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(20), chunk_size=10)
    with monkeypatch.context() as patch:
        patch.setattr(here.progress, "record", lambda *_args, **_options: False)  # it never gets there
        here.run_chunk(0)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert snapshot.counts == Counts()
    here.coordinator().recover(here.job_id, here.executor)
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    assert (snapshot.counts, snapshot.total_rows) == (Counts(success_count=10), 20)


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_a_job_that_has_ended_is_left_alone(here: InProcess, end: Status) -> None:
    here.plan(numbered(5))
    here.coordinator().chunks_to_send(here.job_id)
    here.ledger.move_job(here.job_id, expected=[(Status.RUNNING, Phase.PROCESSING)], status=end, phase=None)
    silence(here)
    here.coordinator().recover(here.job_id, here.executor)
    assert (here.executor.chunks, here.executor.plans, here.executor.finishes) == ([], 0, 0)
    assert here.job().status is end


def test_a_long_merge_says_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001))
    here.plan(numbered(5))
    here.run_all()
    make, heard = Finishing._make_result_files, threading.Event()
    beat = here.ledger.job_heartbeat

    def count(job_id: str, owner: str) -> None:
        beat(job_id, owner)
        heard.set()

    def long(finishing: Finishing, job: Job, *more: Any) -> Any:
        silence(here)
        heard.clear()
        assert heard.wait(10)
        assert here.job().seconds_since_heartbeat < LEASE_SECONDS
        return make(finishing, job, *more)

    monkeypatch.setattr(here.ledger, "job_heartbeat", count)
    monkeypatch.setattr(Finishing, "_make_result_files", long)
    assert here.finish().status is Status.SUCCEEDED
    here.close()


def test_counters_that_are_away_do_not_stop_a_job(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise ServiceUnavailableError("Redis is away")

    for name in ("begin", "set_total", "record", "request_cancel", "snapshot"):
        monkeypatch.setattr(MemoryProgress, name, away)
    here.plan(numbered(20), chunk_size=10)
    here.run_chunk(0)
    assert here.coordinator().counts(here.job()) == Counts(success_count=10)
    here.coordinator().recover(here.job_id, here.executor)
    here.run_chunk(1)
    assert here.finish().status is Status.SUCCEEDED

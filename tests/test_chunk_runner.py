from __future__ import annotations

import gc
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chunk_runner import MAX_UNEXPLAINED_DEATHS, Ran, outcome_writer, rebuild_progress
from engine.chunk_runner.collector import resting_collector
from engine.config import EngineConfig
from engine.errors import (
    HandlerError,
    InconsistentJobError,
    LeaseLostError,
    LedgerError,
    OutputNotWritableError,
    SourceChangedError,
    WorkerLostError,
)
from engine.handlers import RowFailure
from engine.ledger import SqliteLedger
from engine.model import Chunk, Claim, Counts
from engine.options import ImportOptions
from engine.status import ChunkStatus, Phase, Status
from tests import sample_handlers
from tests.in_process import InProcess, numbered, read_csv


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


def chunk(here: InProcess, index: int = 0) -> Any:
    return list(here.ledger.chunk_states(here.job_id))[index]


def counts(success: int, failure: int = 0) -> Counts:
    return Counts(success_count=success, failure_count=failure)


def live(here: InProcess) -> Counts:
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    return snapshot.counts


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """`handle(function)` makes a function a handler that has a path, which it returns."""

    def name(handler: Callable[..., Any]) -> str:
        monkeypatch.setattr(sample_handlers, "of_this_test", handler, raising=False)
        return "of_this_test"

    return name


# A chunk from claim to commit


def test_a_chunk_is_committed_with_its_counts_and_its_parts(here: InProcess) -> None:
    here.plan(numbered(10, bad=[2, 9]), "by_cell", chunk_size=5)
    assert here.run_chunk(1) is Ran.DONE
    state = chunk(here, 1)
    assert (state.status, state.attempt, state.outcome.counts) == (ChunkStatus.DONE, 1, counts(4, 1))
    workspace = here.output / ".rowmill"
    success, failed = state.outcome.success_part, state.outcome.failed_part
    assert (workspace / failed.key).read_bytes() == b"row 9,bad,row 9: bad\r\n"
    assert (workspace / success.key).read_bytes().count(b"\r\n") == 4
    assert [(workspace / part.key).stat().st_size for part in (success, failed)] == [
        success.size_bytes,
        failed.size_bytes,
    ]
    assert live(here) == counts(4, 1)


def test_a_repeated_message_does_nothing(here: InProcess, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    here.plan(numbered(4), effects=str(effects))
    found = [here.run_chunk(0, owner) for owner in ("a", "a", "b")]
    assert found == [Ran.DONE, Ran.NOTHING_TO_DO, Ran.NOTHING_TO_DO]
    assert effects.read_text().split() == ["1", "2", "3", "4"]
    assert here.run_chunk(99) is Ran.NOTHING_TO_DO
    assert here.runner().run("no-such-job", 0) is Ran.NOTHING_TO_DO


def test_parts_stand_in_the_storage_before_the_commit(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(3, bad=[2]), "by_cell")
    seen: list[int] = []
    commit = SqliteLedger.commit_chunk

    def look(ledger: SqliteLedger, claim: Claim, outcome: Any) -> None:
        seen.extend(path.stat().st_size for path in here.parts())
        commit(ledger, claim, outcome)

    monkeypatch.setattr(SqliteLedger, "commit_chunk", look)
    here.run_chunk()
    state = chunk(here)
    assert sorted(seen) == sorted([state.outcome.success_part.size_bytes, state.outcome.failed_part.size_bytes])


def test_outcomes_come_in_the_order_of_the_rows(here: InProcess) -> None:
    here.run(numbered(100, bad=range(1, 101, 3)), "by_cell", batch_size=7, chunk_size=30)
    assert [row[0] for row in read_csv(here.result("failed"))[1:]] == [f"row {n}" for n in range(1, 101, 3)]
    expected = [f"row {n}" for n in range(1, 101) if n % 3 != 1]
    assert [row[0] for row in read_csv(here.result("success"))[1:]] == expected


def test_the_handler_knows_job_index_and_options(here: InProcess, handle: Callable[..., str]) -> None:
    seen: list[Any] = []

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> dict[str, Any]:
        seen.append((row_index, row, job_id, options))
        return {"ok": True}

    here.plan(numbered(3), handle(handler), chunk_size=2, custom_field={"a": 1})
    here.run_all()
    options = ImportOptions.from_mapping({"chunk_size": 2, "custom_field": {"a": 1}}).for_handler()
    assert seen == [(n, [f"row {n}", "good"], here.job_id, options) for n in (1, 2, 3)]


def test_a_handler_that_changes_row_and_options_changes_no_result(here: InProcess, handle: Callable[..., str]) -> None:
    def handler(_row_index: int, row: list[str], _job_id: str, options: dict[str, Any]) -> dict[str, Any]:
        seen = list(options["nested"])
        options["nested"].append(1)
        options.clear()
        options["nested"] = seen
        row[:] = ["changed"] * 5
        return {"ok": True, "result": seen}

    here.plan(numbered(4), handle(handler), chunk_size=1, nested=[0])
    here.run_all()
    here.finish()
    assert read_csv(here.result())[1:] == [[f"row {n}", "good", "[0]"] for n in (1, 2, 3, 4)]


def test_without_result_files_only_the_counts_are_kept(tmp_path: Path) -> None:
    here = InProcess(tmp_path, EngineConfig(enable_result_files=False, progress_interval_seconds=0))
    job = here.run(numbered(10, bad=[3]), "by_cell", chunk_size=4)
    assert (job.status, job.counts) == (Status.SUCCEEDED, counts(9, 1))
    assert (job.result_files.success_url, job.result_files.failed_url) == (None, None)
    assert [path.name for path in here.output.rglob("*.csv")] == []
    here.close()


# Leases


class TakenOver:
    """A handler during which, at one row, another process takes the chunk over."""

    def __init__(self, here: InProcess, at_row: int) -> None:
        self.here = here
        self.at_row = at_row
        self.rows: list[int] = []
        self.lost = threading.Event()

    def __call__(self, row_index: int, *_: Any) -> dict[str, Any]:
        self.rows.append(row_index)
        if len(self.rows) == self.at_row:
            self.here.dead.add("first")
            assert self.here.ledger.claim(self.here.job_id, 0, owner="second", token="second") is not None  # noqa: S106
        return {"ok": True}


def test_a_commit_after_the_lease_was_lost_leaves_nothing_counted(here: InProcess, handle: Callable[..., str]) -> None:
    handler = TakenOver(here, at_row=5)
    here.plan(numbered(5), handle(handler))
    assert here.run_chunk(0, "first") is Ran.LOST
    state = chunk(here)
    assert (state.status, state.owner, state.attempt) == (ChunkStatus.LEASED, "second", 2)
    assert here.ledger.counts(here.job_id) == counts(0)
    # What the lost attempt had counted falls back with the first word of the other one.
    here.progress.record(here.job_id, 0, 2, counts(1))
    assert live(here) == counts(1)


def test_an_attempt_that_has_lost_its_lease_runs_no_further_batch(
    tmp_path: Path, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001, progress_interval_seconds=0))
    beat = SqliteLedger.heartbeat

    def tell(ledger: SqliteLedger, claim: Claim) -> bool:
        lives = beat(ledger, claim)
        if not lives:
            handler.lost.set()
        return lives

    monkeypatch.setattr(SqliteLedger, "heartbeat", tell)
    handler = TakenOver(here, at_row=3)

    def waits_until_lost(row_index: int, *arguments: Any) -> dict[str, Any]:
        handler(row_index, *arguments)
        if row_index >= 4:
            assert handler.lost.wait(10)
        return {"ok": True}

    here.plan(numbered(1000), handle(waits_until_lost), batch_size=2)
    assert here.run_chunk(0, "first") is Ran.LOST
    assert len(handler.rows) <= 6
    here.close()


def test_a_lost_attempts_parts_are_not_those_of_the_next(here: InProcess, handle: Callable[..., str]) -> None:
    here.plan(numbered(5), handle(TakenOver(here, at_row=5)))
    here.run_chunk(0, "first")
    orphans = set(here.parts())
    here.dead.add("second")
    assert here.run_chunk(0, "third") is Ran.DONE
    mine = chunk(here).outcome.success_part.key
    assert orphans
    assert str(here.output / ".rowmill" / mine) not in {str(path) for path in orphans}
    job = here.finish()
    assert len(read_csv(job.result_files.success_url)) == 6
    assert here.parts() == []


def test_a_process_that_is_to_stop_gives_its_chunk_back(here: InProcess) -> None:
    here.plan(numbered(10), batch_size=2)
    stops = iter([False, True])
    assert here.run_chunk(0, should_stop=lambda: next(stops)) is Ran.STOPPED
    state = chunk(here)
    assert (state.status, state.attempt, state.outcome) == (ChunkStatus.PLANNED, 0, None)
    assert here.parts() == []
    assert here.run_chunk(0, should_stop=lambda: False) is Ran.DONE
    assert live(here) == counts(10)


def test_a_stopped_attempt_leaves_the_ledgers_work_by_an_error(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that shares the handler's database rolls back only then."""
    work, left_by = SqliteLedger.work, []

    @contextmanager
    def watched(ledger: SqliteLedger, claim: Claim, **more: Any) -> Iterator[Any]:
        with work(ledger, claim, **more) as inner:
            try:
                yield inner
            except BaseException as error:
                left_by.append(type(error).__name__)
                raise

    monkeypatch.setattr(SqliteLedger, "work", watched)
    here.plan(numbered(10), batch_size=2)
    here.run_chunk(0, should_stop=lambda: True)
    assert left_by == ["Stopped"]


def test_a_process_that_is_to_stop_after_its_last_batch_commits(here: InProcess) -> None:
    here.plan(numbered(4), batch_size=2)
    stops = iter([False])
    assert here.run_chunk(0, should_stop=lambda: next(stops)) is Ran.DONE


# What is wrong with more than a row


def test_a_source_that_was_replaced_is_noticed_and_the_chunk_given_back(here: InProcess) -> None:
    here.plan(numbered(6), chunk_size=3)
    here.run_chunk(0)
    replacement = here.folder / "new.csv"
    replacement.write_bytes(here.source.read_bytes())
    os.replace(replacement, here.source)
    with pytest.raises(SourceChangedError):
        here.run_chunk(1)
    assert chunk(here, 1).status is ChunkStatus.PLANNED
    assert here.ledger.counts(here.job_id) == counts(3)


def test_a_source_changed_in_place_is_noticed(here: InProcess) -> None:
    here.plan(numbered(6), chunk_size=3)
    with open(here.source, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(SourceChangedError):
        here.run_chunk(0)


def test_a_handler_that_is_gone_gives_the_chunk_back(
    here: InProcess, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(2), handle(sample_handlers.accept))
    monkeypatch.delattr(sample_handlers, "of_this_test")
    with pytest.raises(HandlerError, match="of_this_test"):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED


def test_parts_that_cannot_be_written_give_the_chunk_back(here: InProcess) -> None:
    here.plan(numbered(2))
    (here.output / ".rowmill").mkdir()
    (here.output / ".rowmill" / "parts").touch()
    with pytest.raises(OutputNotWritableError):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED


def test_an_interrupt_gives_the_chunk_back(here: InProcess) -> None:
    here.plan(numbered(2), "is_interrupted")
    with pytest.raises(KeyboardInterrupt):
        here.run_chunk()
    assert (chunk(here).status, chunk(here).attempt) == (ChunkStatus.PLANNED, 0)


def test_the_first_error_is_told_when_the_chunk_cannot_be_given_back_either(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.plan(numbered(2), "is_interrupted")

    def locked(*_: Any, **__: Any) -> None:
        raise LedgerError("locked")

    monkeypatch.setattr(SqliteLedger, "release", locked)
    with pytest.raises(KeyboardInterrupt):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.LEASED


def test_a_chunk_without_a_plan_is_inconsistent(here: InProcess) -> None:
    here.create(numbered(2))
    here.ledger.add_chunks(
        here.job_id, [Chunk(chunk_index=0, byte_start=0, byte_end=1, first_row_index=1, row_count=1)]
    )
    here.ledger.move_job(here.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=Phase.PROCESSING)
    with pytest.raises(InconsistentJobError, match="no plan"):
        here.run_chunk()


@pytest.mark.parametrize("row_count", [1, 3, 4, 6])
def test_a_chunk_whose_rows_are_not_those_planned_is_inconsistent(here: InProcess, row_count: int) -> None:
    job = here.create(numbered(5))
    here.ledger.add_chunks(here.job_id, [])
    here.coordinator().plan(here.job_id)
    planned = chunk(here).chunk
    other = replace(planned, chunk_index=1, row_count=row_count)
    here.ledger.add_chunks(job.job_id, [other])
    if row_count == 5:
        return
    with pytest.raises(InconsistentJobError, match=f"5 rows where {row_count} were planned"):
        here.run_chunk(1)
    assert chunk(here, 1).status is ChunkStatus.PLANNED


# Rows that kill


def die(here: InProcess, number: int, *, at_row: int | None) -> None:
    """A process claims the chunk and dies, maybe while a watched row runs."""
    owner = f"dies-{number}"
    claim = here.ledger.claim(here.job_id, 0, owner=owner, token=owner)
    assert claim is not None
    if at_row is not None:
        here.ledger.watch_row(claim, at_row)
    here.dead.add(owner)


def test_after_two_deaths_rows_are_watched_one_by_one(here: InProcess, handle: Callable[..., str]) -> None:
    watched: list[int | None] = []

    def handler(*_: Any) -> dict[str, Any]:
        with closing(sqlite3.connect(here.folder / "ledger.sqlite3")) as connection:
            watched.append(connection.execute("SELECT watched_row FROM chunks").fetchone()[0])
        return {"ok": True}

    here.plan(numbered(4), handle(handler))
    for number in (0, 1):
        die(here, number, at_row=None)
        state = chunk(here)
        assert state.attempt == number + 1
    assert here.run_chunk() is Ran.DONE
    assert watched == [1, 2, 3, 4]
    assert chunk(here).attempt == 3


def test_rows_are_not_watched_after_one_death(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here.plan(numbered(4))
    die(here, 0, at_row=None)
    monkeypatch.setattr(SqliteLedger, "watch_row", lambda *_: pytest.fail("watched"))
    assert here.run_chunk() is Ran.DONE


def test_a_row_that_killed_twice_fails_without_being_run(here: InProcess, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    here.plan(numbered(5), effects=str(effects))
    for number, row in enumerate([None, None, 3, 3]):
        die(here, number, at_row=row)
    assert here.run_chunk() is Ran.DONE
    job = here.finish()
    assert effects.read_text().split() == ["1", "2", "4", "5"]
    assert (job.status, job.counts) == (Status.SUCCEEDED, counts(4, 1))
    message = "The process died twice while the handler ran this row; it was not run again."
    assert read_csv(here.result("failed"))[1:] == [["row 3", "good", message]]


def test_a_death_while_the_parts_are_written_is_no_rows_fault(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that always dies there would otherwise make row after row guilty, and never give up."""
    here.plan(numbered(3))
    for number in (0, 1):
        die(here, number, at_row=None)

    class Dies(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr("engine.results.PartWriter.finish", dies)
        patch.setattr(SqliteLedger, "release", lambda *_: None)
        for number in range(4):
            with pytest.raises(Dies):
                here.run_chunk(0, f"writes-{number}")
            here.dead.add(f"writes-{number}")
    claim = here.ledger.claim(here.job_id, 0, owner="last", token="t")  # noqa: S106
    assert claim is not None
    assert (claim.deaths, claim.guilty_rows, claim.suspect_row) == (6, (), None)


def test_a_chunk_on_which_processes_keep_dying_is_given_up_and_can_be_resumed(here: InProcess) -> None:
    here.plan(numbered(3))
    for number in range(MAX_UNEXPLAINED_DEATHS + 1):
        die(here, number, at_row=number % 3 + 1 if number > 1 else None)
    with pytest.raises(WorkerLostError, match=r"21 processes died on chunk 0 \(rows 1 to 3\)"):
        here.run_chunk()
    assert chunk(here).status is ChunkStatus.PLANNED
    # With more memory, the resumed job gets another chance.
    assert here.run_chunk() is Ran.DONE


def test_deaths_that_guilty_rows_explain_are_not_held_against_the_chunk(here: InProcess) -> None:
    here.plan(numbered(40))
    deaths = iter(range(100))
    for row in range(1, 31):
        for _ in (1, 2):
            die(here, next(deaths), at_row=row)
    assert here.run_chunk() is Ran.DONE
    assert chunk(here).outcome.counts == counts(10, 30)


# Cancel


def cancels_at(here: InProcess, row: int) -> Callable[..., Any]:
    def handler(row_index: int, *_: Any) -> dict[str, Any]:
        if row_index == row:
            here.coordinator("somebody").cancel(here.job_id)
        return {"ok": row_index % 2 == 0, "error": "odd"}

    return handler


@pytest.mark.parametrize(("at_row", "done"), [(1, 3), (3, 3), (4, 6), (10, 10)])
def test_a_cancel_ends_the_chunk_with_the_running_batch(
    here: InProcess, handle: Callable[..., str], at_row: int, done: int
) -> None:
    here.plan(numbered(10), handle(cancels_at(here, at_row)), batch_size=3)
    assert here.run_chunk() is Ran.DONE
    state = chunk(here)
    assert state.status is ChunkStatus.DONE
    assert state.outcome.counts == counts(done // 2, done - done // 2)
    job = here.finish()
    assert (job.status, job.counts) == (Status.CANCELLED, state.outcome.counts)
    assert [row[0] for row in read_csv(here.result("failed"))[1:]] == [f"row {n}" for n in range(1, done + 1, 2)]
    assert [row[0] for row in read_csv(here.result("success"))[1:]] == [f"row {n}" for n in range(2, done + 1, 2)]


def test_a_cancel_of_which_the_ledger_knows_nothing_leaves_no_row_out(here: InProcess) -> None:
    """Counters are a hint. A flag that was left there must not make a chunk that lacks rows."""
    here.plan(numbered(10), batch_size=2)
    here.progress.request_cancel(here.job_id)
    assert here.run_chunk() is Ran.DONE
    assert chunk(here).outcome.counts == counts(10)


# Counters


def test_counters_are_rebuilt_from_the_committed_chunks(here: InProcess) -> None:
    here.plan(numbered(9), chunk_size=3)
    here.run_chunk(0)
    here.run_chunk(1)
    here.progress.clear(here.job_id)
    rebuild_progress(here.ledger, here.progress, here.job_id)
    assert live(here) == counts(6)
    here.progress.clear(here.job_id)
    here.run_chunk(2)
    assert live(here) == counts(9)


def test_the_last_word_on_a_chunk_is_told_at_once(tmp_path: Path) -> None:
    here = InProcess(tmp_path, EngineConfig(progress_interval_seconds=1_000))
    here.plan(numbered(9), chunk_size=9, batch_size=2)
    here.run_chunk()
    assert live(here) == counts(9)
    here.progress.record(here.job_id, 0, 99, counts(1))
    assert live(here) == counts(9)
    here.close()


def test_an_error_of_the_heartbeat_is_no_error_of_the_chunk(
    tmp_path: Path, handle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = InProcess(tmp_path, EngineConfig(heartbeat_seconds=0.001))
    failed = threading.Event()

    def fails(*_: Any) -> bool:
        failed.set()
        raise LedgerError("locked")

    monkeypatch.setattr(SqliteLedger, "heartbeat", fails)
    here.plan(numbered(3), handle(lambda *_: {"ok": failed.wait(10)}))
    assert here.run_chunk() is Ran.DONE
    here.close()


def test_a_watched_attempt_that_lost_its_lease_stops_before_the_next_row(
    here: InProcess, handle: Callable[..., str]
) -> None:
    handler = TakenOver(here, at_row=2)
    here.plan(numbered(5), handle(handler))
    for number in (0, 1):
        die(here, number, at_row=None)
    assert here.run_chunk(0, "first") is Ran.LOST
    assert handler.rows == [1, 2]


def test_the_refusal_of_a_lost_commit_says_which_attempt_it_was(here: InProcess) -> None:
    here.plan(numbered(5))
    claim = here.ledger.claim(here.job_id, 0, owner="a", token="t")  # noqa: S106
    assert claim is not None
    here.ledger.release(claim)
    with pytest.raises(LeaseLostError, match=f"Attempt 1 of chunk 0 of job {here.job_id} lost its lease"):
        here.ledger.watch_row(claim, 1)


@given(st.lists(st.sampled_from([None, 1, "text", RowFailure("no"), RowFailure, {"ok": True}])))
def test_refused_rows_are_found_alike_with_and_without_the_compiled_loop(outcomes: list[Any]) -> None:
    expected = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, RowFailure)]
    assert outcome_writer._positions_of_failures(outcomes) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome_writer, "loops", None)
        assert outcome_writer._positions_of_failures(outcomes) == expected


def test_the_collector_never_looks_at_what_is_loaded_while_it_rests() -> None:
    looks: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        looks.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        with resting_collector():
            made = [[number] for number in range(10_000)]
            assert not looks
        assert gc.isenabled()
        assert not any(each is made or each is made[-1] for each in gc.get_objects()), "frozen objects are not listed"
        assert not looks, "not when it is on again, either"
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()

"""The end of a job: merged once, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.coordinator.finishing import Finishing
from engine.errors import (
    InconsistentJobError,
    OutputNotWritableError,
    RowmillError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Counts, Job
from engine.status import Phase, Status
from tests.coordinator.scenes import merging, silence, state, tamper
from tests.in_process import InProcess, numbered, read_csv


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

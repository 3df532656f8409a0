"""A chunk from its claim to its commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.chunk_runner import Ran
from engine.config import EngineConfig
from engine.ledger import SqliteLedger
from engine.model import Claim
from engine.options import ImportOptions
from engine.status import ChunkStatus, Status
from tests.chunk_runner.scenes import chunk, counts, live
from tests.in_process import InProcess, numbered, read_csv


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

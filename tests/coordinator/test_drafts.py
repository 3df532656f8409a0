"""Result files that grow while chunks run: never anything but a help to the merge."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.coordinator import ResultDrafts
from engine.errors import LedgerUnavailableError, StorageError
from engine.ledger import SqliteLedger
from engine.model import Part
from engine.results import merge_csv
from engine.status import Status
from engine.storage import open_storage
from engine.storage.local import LocalFolderStorage
from tests.in_process import InProcess, numbered, read_csv
from tests.readers.strategies import examples

CHUNKS, ROWS = 8, 80


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    made.plan(numbered(ROWS, bad=range(1, ROWS, 7)), "by_cell", chunk_size=ROWS // CHUNKS)
    yield made
    made.close()


def drafts(here: InProcess, done: list[int] | None = None, config: EngineConfig | None = None) -> ResultDrafts:
    return ResultDrafts(here.job_id, here.ledger, config or here.config, done=done or [], name="here")


def run_all(here: InProcess, grown: ResultDrafts) -> None:
    for index in range(CHUNKS):
        here.run_chunk(index)
        grown.chunk_done(index)


def left(here: InProcess) -> list[str]:
    """Drafts that lie in the workspace."""
    return [path.name for path in here.output.rglob("*.draft")]


def rows_of(here: InProcess) -> list[list[list[str]]]:
    files = here.job().result_files
    return [read_csv(files.success_url), read_csv(files.failed_url)]


def expected() -> list[list[list[str]]]:
    rows = numbered(ROWS, bad=range(1, ROWS, 7))[1:]
    accepted, refused = ([row for row in rows if (row[1] == "bad") is bad] for bad in (False, True))
    return [accepted, refused]


def check(here: InProcess) -> None:
    assert here.job().status is Status.SUCCEEDED
    for found, wanted in zip(rows_of(here), expected(), strict=True):
        assert [row[:2] for row in found[1:]] == wanted
    assert left(here) == []
    assert not (here.output / ".rowmill" / "parts").exists(), "all is swept"


@pytest.mark.parametrize("seed", range(4))
def test_chunks_that_end_in_any_order_are_appended_in_input_order(
    here: InProcess, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = drafts(here)
    for index in random.Random(seed).sample(range(CHUNKS), CHUNKS):  # noqa: S311 - an order, nothing secret
        here.run_chunk(index)
        grown.chunk_done(index)
    # All of it has been joined by now, so that nothing is left to the merge.
    monkeypatch.delattr(LocalFolderStorage, "concatenate")
    assert here.coordinator().finish(here.job_id, drafts=grown)
    grown.discard()
    check(here)


@examples(30)
@given(st.sets(st.integers(0, CHUNKS - 1)))
def test_a_merge_goes_on_from_wherever_the_drafts_stand(told: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = InProcess(Path(folder))
        here.plan(numbered(ROWS, bad=range(1, ROWS, 7)), "by_cell", chunk_size=ROWS // CHUNKS)
        grown = drafts(here)
        for index in range(CHUNKS):
            here.run_chunk(index)
            if index in told:
                grown.chunk_done(index)
        assert here.coordinator().finish(here.job_id, drafts=grown)
        grown.discard()
        check(here)
        here.close()


def test_a_resumed_run_begins_with_what_is_done(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(CHUNKS):
        here.run_chunk(index)
    grown = drafts(here, done=list(range(CHUNKS - 1)))
    grown.chunk_done(CHUNKS - 1)
    monkeypatch.delattr(LocalFolderStorage, "concatenate")
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


def test_a_chunk_that_is_not_committed_is_never_appended(here: InProcess) -> None:
    grown = drafts(here)
    for index in range(CHUNKS - 2):
        here.run_chunk(index)
    for index in range(CHUNKS):
        grown.chunk_done(index)  # a word that has no commit behind it
    for index in range(CHUNKS - 2, CHUNKS):
        here.run_chunk(index)
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_a_draft_that_was_tampered_with_in_the_ledger_is_not_used(here: InProcess, kind: str) -> None:
    """What was appended is not what the ledger says at the end: the file is made from the first part on."""
    grown = drafts(here)
    run_all(here, grown)
    taken = grown.take()
    draft = taken["success" if kind == "success" else "failed"]
    draft.segments[3] = Part(key="another", size_bytes=1)
    assert here.coordinator().finish(here.job_id, drafts=grown)
    grown.discard()
    check(here)


def test_trouble_with_a_draft_is_no_trouble_of_the_job(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = LocalFolderStorage.draft

    def broken(storage: LocalFolderStorage, key: str, draft_key: str) -> Any:
        draft = inner(storage, key, draft_key)

        def fails(*_: Any) -> None:
            raise StorageError("the disk has a bad day")

        if "failed" in key:
            draft.append = fails  # type: ignore[method-assign]
        return draft

    monkeypatch.setattr(LocalFolderStorage, "draft", broken)
    grown = drafts(here)
    run_all(here, grown)
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


def test_a_draft_whose_file_is_gone_is_made_again(here: InProcess) -> None:
    grown = drafts(here)
    run_all(here, grown)
    grown.take()
    for path in here.output.rglob("*.draft"):
        path.unlink()
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


def test_a_ledger_that_is_away_is_asked_again_at_the_next_chunk(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = drafts(here)

    def away(*_: Any) -> None:
        raise LedgerUnavailableError("away")

    for index in range(CHUNKS):
        here.run_chunk(index)
        with monkeypatch.context() as patch:
            if index < CHUNKS - 1:
                patch.setattr(SqliteLedger, "outcome", away)
            grown.chunk_done(index)
    taken = grown.take()
    assert len(taken["success"].segments) == 1 + CHUNKS
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


def test_the_end_may_be_near_at_any_time(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = drafts(here)
    grown.end_is_near()  # nothing has grown yet
    for index in range(CHUNKS):
        here.run_chunk(index)
        grown.chunk_done(index)
        if index > CHUNKS // 2:
            grown.end_is_near()
    monkeypatch.delattr(LocalFolderStorage, "concatenate")
    assert here.coordinator().finish(here.job_id, drafts=grown)
    check(here)


def test_a_discarded_draft_leaves_nothing(here: InProcess) -> None:
    grown = drafts(here)
    run_all(here, grown)
    grown.take()
    assert len(left(here)) == 2
    grown.discard()
    assert left(here) == []
    assert here.coordinator().finish(here.job_id)
    check(here)


def test_what_a_killed_process_left_is_swept_with_the_parts(here: InProcess) -> None:
    killed = drafts(here)
    for index in range(CHUNKS):
        here.run_chunk(index)
        killed.chunk_done(index)
    killed.take()
    assert here.coordinator().finish(here.job_id)
    check(here)


@pytest.mark.parametrize("options", [{"output_format": "xlsx"}, {}])
def test_none_are_begun_where_there_is_nothing_to_gain(tmp_path: Path, options: dict[str, Any]) -> None:
    config = EngineConfig(progress_interval_seconds=0, enable_result_files=bool(options))
    here = InProcess(tmp_path, config)
    here.plan(numbered(ROWS), chunk_size=ROWS // CHUNKS, **options)
    grown = drafts(here)
    run_all(here, grown)
    assert grown.take() == {}
    assert left(here) == []
    here.close()


def test_a_small_job_does_without(tmp_path: Path) -> None:
    here = InProcess(tmp_path)
    here.plan(numbered(3), chunk_size=1)
    grown = drafts(here)
    for index in range(3):
        here.run_chunk(index)
        grown.chunk_done(index)
    assert grown.take() == {}
    here.close()


def test_a_merge_with_a_draft_of_another_header_begins_anew(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path), EngineConfig())
    storage.write("p", b"row\r\n")
    part = Part(key="p", size_bytes=5)
    draft = storage.draft("all.csv", "all.draft")
    assert draft is not None
    draft.append(b"old\r\n")
    draft.append(part)
    merge_csv(storage, "all.csv", b"new\r\n", [part], draft=draft)
    assert (tmp_path / "all.csv").read_bytes() == b"new\r\nrow\r\n"

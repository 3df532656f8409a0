# ruff: noqa: S106 - tokens are no passwords; the processes are these tests' own
"""What is the SQLite ledger's own affair: one file, many processes and threads."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.errors import JobNotFoundError, LedgerError
from engine.ledger import SqliteLedger, open_ledger
from engine.ledger.owner import this_process
from engine.model import ChunkOutcome, Counts
from engine.status import ChunkStatus
from tests.ledger.builders import job, outcome, start

PROCESSES = 4
CHUNKS = 120


def work_through(path: str, job_id: str, number: str) -> None:
    """What each of several processes does: claim every chunk there is, watch a row, commit; tell which it got."""
    ledger = SqliteLedger(path)
    sys.stdin.readline()
    mine: list[int] = []
    for index in range(CHUNKS):
        claim = ledger.claim(job_id, index, owner=this_process(), token=f"{number}-{index}")
        if claim is not None:
            ledger.send_chunks(job_id, window=8)
            ledger.watch_row(claim, claim.chunk.first_row_index)
            assert ledger.heartbeat(claim)
            with ledger.work(claim) as work:
                work.commit(ChunkOutcome(counts=Counts(success_count=10), success_part=None, failed_part=None))
            mine.append(index)
        ledger.counts(job_id)
    print(json.dumps(mine))


def hammer(path: Path, job_id: str) -> list[list[int]]:
    command = f"import sys; from {__name__} import work_through; work_through(*sys.argv[1:])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(path), job_id, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    found = []
    for process in processes:  # each opens the file as soon as it can, and begins when it is told to
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told, _ = process.communicate()
        assert process.returncode == 0
        found.append(json.loads(told))
    return found


def test_a_second_job_of_the_same_name_is_refused(tmp_path: Path) -> None:
    new = job(output_url="s3://bucket/a b")
    with closing(SqliteLedger(tmp_path / "ledger", clock=new.created_at.timestamp)) as ledger:
        ledger.create_job(new)
        with pytest.raises(LedgerError):
            ledger.create_job(dataclasses.replace(new, handler_path="other.handler"))
        assert ledger.job(new.job_id) == new


def test_processes_that_hammer_one_file_get_each_chunk_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    job_id = start(ledger, chunk_count=CHUNKS)
    claimed = Counter(index for mine in hammer(path, job_id) for index in mine)
    assert claimed == dict.fromkeys(range(CHUNKS), 1)
    assert ledger.counts(job_id) == Counts(success_count=10 * CHUNKS)
    assert {(state.status, state.attempt) for state in ledger.chunk_states(job_id)} == {(ChunkStatus.DONE, 1)}
    ledger.close()


def test_threads_that_make_the_same_new_file_all_get_it(tmp_path: Path) -> None:
    def open_and_use(number: int) -> int:
        ledger = SqliteLedger(tmp_path / f"{number // 8}.sqlite3")
        ledger.create_job(job())
        count = len(ledger.jobs())
        ledger.close()
        return count

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(open_and_use, range(48)))
    assert all(1 <= count <= 8 for count in counts)
    for number in range(6):
        ledger = SqliteLedger(tmp_path / f"{number}.sqlite3")
        assert len(ledger.jobs()) == 8
        ledger.close()


def test_one_ledger_serves_several_threads(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    job_id = start(ledger, chunk_count=CHUNKS)

    def claim_all(number: int) -> list[int]:
        return [
            index
            for index in range(CHUNKS)
            if ledger.claim(job_id, index, owner=this_process(), token=f"{number}-{index}") is not None
        ]

    with ThreadPoolExecutor(4) as pool:
        claimed = Counter(index for mine in pool.map(claim_all, range(4)) for index in mine)
    assert claimed == dict.fromkeys(range(CHUNKS), 1)
    ledger.close()


def test_threads_that_have_ended_leave_no_open_files(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    job_id = start(ledger)
    before = psutil.Process().num_fds()
    for _ in range(20):
        thread = threading.Thread(target=ledger.job_heartbeat, args=(job_id, "a"))
        thread.start()
        thread.join()
    assert psutil.Process().num_fds() <= before + 4
    ledger.close()


def test_a_closed_ledger_opens_again_when_it_is_asked(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    job_id = start(ledger)
    ledger.close()
    ledger.close()
    assert ledger.job(job_id).job_id == job_id
    ledger.close()


def test_readers_and_writers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    SqliteLedger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    job_id = start(ledger)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(ledger.claim, job_id, 0, owner="a", token="t")
        assert ledger.job(job_id).job_id == job_id  # readers do not wait
        other.execute("COMMIT")
        assert claimed.result() is not None
    other.close()
    ledger.close()


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.ledger.sqlite.file._BUSY_SECONDS", 0.05)
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    job_id = start(ledger)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="cannot be written: database is locked"):
        ledger.claim(job_id, 0, owner="a", token="t")
    other.execute("COMMIT")
    assert ledger.claim(job_id, 0, owner="a", token="t") is not None
    other.close()
    ledger.close()


def test_an_error_inside_a_transaction_undoes_it(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    job_id = start(ledger, chunk_count=1)
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.create_job(job(source=job().source, job_id="x\ud800"))
    assert ledger.request_cancel(job_id)
    ledger.close()


def test_a_source_whose_name_is_no_text_is_refused_plainly(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    with pytest.raises(LedgerError, match="surrogates not allowed"):
        ledger.create_job(job(output_url=os.fsdecode(b"/data/\xff")))
    ledger.close()


# The file


def test_the_url_opens_the_same_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = SqliteLedger("folder/ü ledger.sqlite3")
    job_id = start(ledger)
    monkeypatch.chdir("/")
    other = open_ledger(ledger.url)
    assert [found.job_id for found in other.jobs()] == [job_id]
    for opened in (ledger, other):
        opened.close()


@pytest.mark.parametrize("url", ["postgresql://x/y", "ledger.sqlite3", ""])
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="sqlite:///"):
        open_ledger(url)


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE jobs (id)")
    connection.close()


def of_version(path: Path, version: int) -> None:
    SqliteLedger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("this is a text, and it is longer than a hundred bytes. " * 9), "not a database"),
        (lambda path: path.mkdir(), "unable to open"),
        (foreign_database, "another program"),
        (lambda path: of_version(path, 4), "another version"),
        (lambda path: of_version(path, 999), "another version"),
    ],
)
def test_what_is_no_ledger_is_refused_and_left_as_it_was(tmp_path: Path, make: Any, says: str) -> None:
    path = tmp_path / "ledger.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LedgerError, match=says) as caught:
        SqliteLedger(path)
    assert str(path) in caught.value.message
    assert "--ledger" in caught.value.message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be opened"):
        SqliteLedger(tmp_path / "file" / "ledger.sqlite3")


def remove(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)


def test_a_ledger_removed_while_it_is_open_is_empty_and_of_use(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    old = start(ledger)
    claim = ledger.claim(old, 0, owner="a", token="t")
    assert claim is not None
    remove(path)
    with pytest.raises(JobNotFoundError, match=old):
        ledger.job(old)
    assert not ledger.heartbeat(claim)
    ledger.release(claim)
    new = start(ledger)
    other = SqliteLedger(path)
    assert [found.job_id for found in other.jobs()] == [new]
    for opened in (ledger, other):
        opened.close()


def test_a_ledger_whose_folder_was_removed_is_a_ledger_error(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    job_id = start(ledger)
    remove(path)
    path.parent.rmdir()
    for ask in (ledger.job, ledger.counts, ledger.unfinished_chunks, ledger.request_cancel):
        with pytest.raises(LedgerError, match="cannot be opened"):
            ask(job_id)
    ledger.close()


def test_a_ledger_that_was_overwritten_is_a_ledger_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path)
    job_id = start(ledger)
    remove(path)
    path.write_text("this is a text, and it is longer than a hundred bytes. " * 9)
    with pytest.raises(LedgerError, match="not a database"):
        ledger.job(job_id)
    with pytest.raises(LedgerError, match="not a database"):
        ledger.create_job(job())
    ledger.close()


def descriptors(ledger: SqliteLedger) -> int:
    """How often this process has the file open."""
    path = ledger.url.removeprefix("sqlite:///")
    return [file.path for file in psutil.Process().open_files()].count(path)


def test_a_forked_child_opens_the_file_itself_and_leaves_the_parents_alone(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    job_id = start(ledger)
    child = os.fork()
    if child == 0:  # nothing of pytest is to run here
        code = 1
        try:
            before = descriptors(ledger)
            claim = ledger.claim(job_id, 0, owner="child", token="t")
            assert claim is not None
            with ledger.work(claim) as work:
                work.commit(outcome())
            assert descriptors(ledger) == before + 1
            ledger.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ledger.counts(job_id) == Counts(success_count=10)
    assert ledger.claim(job_id, 1, owner="parent", token="t") is not None
    ledger.close()

"""Workers and parents that die, stop and come back: nothing is lost, and what is told is exact."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.config import EngineConfig
from engine.model import Counts
from engine.report import JobReport
from engine.status import Phase, Status
from tests.in_process import read_csv
from tests.runtime.conftest import PATIENCE_SECONDS, LocalRuns, wait_until

ROWS = 400
#: Of a lease that is to run out: a process that lives is never kept from the processor for as long.
LEASE_SECONDS = 3.0
DIED = "The process died twice while the handler ran this row; it was not run again."


def once_each(rows: int) -> dict[int, int]:
    return dict.fromkeys(range(1, rows + 1), 1)


# Rows that kill


@pytest.mark.parametrize("poison", [[137], [1, 60, 400]])
def test_only_the_rows_that_kill_their_process_fail(runs: LocalRuns, poison: list[int]) -> None:
    runs.write(ROWS)
    report = runs.run("exits", poison=poison, chunk_size=50)
    assert (report.job.status, report.counts) == (
        Status.SUCCEEDED,
        Counts(success_count=ROWS - len(poison), failure_count=len(poison)),
    )
    assert read_csv(runs.output / "people.failed.csv")[1:] == [[f"row {row}", "good", DIED] for row in poison]
    good = [row for row in range(1, ROWS + 1) if row not in poison]
    assert [row[0] for row in read_csv(runs.output / "people.success.csv")[1:]] == [f"row {row}" for row in good]
    calls = runs.calls()
    assert set(calls) == set(good)
    # Only rows of a chunk on which a process died ran more than once.
    assert {(row - 1) // 50 for row, times in calls.items() if times > 1} <= {(row - 1) // 50 for row in poison}


def test_a_worker_that_dies_once_costs_no_row(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    report = runs.run("dies_once", row=230, mark=str(runs.mark), chunk_size=100, workers=1)
    assert (report.job.status, report.counts) == (Status.SUCCEEDED, Counts(success_count=ROWS))
    assert runs.results() == expected
    assert runs.calls() == {**once_each(ROWS), **dict.fromkeys(range(201, 230), 2)}


def test_a_dead_workers_child_that_keeps_its_socket_open_does_not_stop_the_run(runs: LocalRuns) -> None:
    runs.write(20)
    report = runs.run("forks", mark=str(runs.mark), gate=str(runs.gate), workers=1)
    assert report.counts == Counts(success_count=20)


def test_counters_fall_back_when_a_worker_dies_and_end_exact(runs: LocalRuns) -> None:
    runs.write(ROWS)
    seen: list[int] = []
    runs.run(
        "dies_once",
        row=230,
        mark=str(runs.mark),
        chunk_size=200,
        batch_size=1,
        workers=1,
        on_progress=lambda report: seen.append(report.counts.processed_rows),
    )
    assert max(seen) == seen[-1] == ROWS


class Killer(threading.Thread):
    """Kills a worker whenever so many rows more have been handled."""

    def __init__(self, runs: LocalRuns, seed: int, *, kills: int, rows: int) -> None:
        super().__init__()
        self.random = random.Random(seed)  # noqa: S311 - the same every time
        self.runs = runs
        self.limits = sorted(self.random.sample(range(1, rows), kills))
        self.killed = 0
        self.ended = threading.Event()

    def run(self) -> None:
        for limit in self.limits:
            while self._handled() < limit:
                if self.ended.wait(0.002):
                    return
            workers = self.runs.workers()
            if workers:
                with suppress(psutil.NoSuchProcess):
                    self.random.choice(sorted(workers, key=lambda process: process.pid)).kill()
                    self.killed += 1

    def _handled(self) -> int:
        return self.runs.effects.read_bytes().count(b"\n") if self.runs.effects.exists() else 0


@pytest.mark.parametrize("seed", [1, 2])
def test_workers_killed_at_random_moments_lose_nothing(runs: LocalRuns, seed: int) -> None:
    rows = 12_000
    runs.write(rows)
    expected = runs.undisturbed("by_index", refused_every=13)
    killer = Killer(runs, seed, kills=8, rows=rows)
    killer.start()
    try:
        report = runs.run("takes_time", seconds=0.002, refused_every=13, chunk_size=500, batch_size=50)
    finally:
        killer.ended.set()
        killer.join()
    assert killer.killed
    assert (report.job.status, report.counts.processed_rows) == (Status.SUCCEEDED, rows)
    assert runs.results() == expected
    calls = runs.calls()
    assert set(calls) == set(range(1, rows + 1))
    repeated = {(row - 1) // 500 for row, times in calls.items() if times > 1}
    assert len(repeated) <= killer.killed


# Processes that stop


def test_a_worker_that_stops_is_replaced_when_its_lease_has_run_out(runs: LocalRuns) -> None:
    runs.config = EngineConfig(progress_interval_seconds=0, lease_seconds=LEASE_SECONDS)
    runs.write(ROWS)
    expected = runs.undisturbed()
    report = runs.run("stops_once", row=150, mark=str(runs.mark), chunk_size=100, workers=1)
    assert report.succeeded
    assert runs.results() == expected
    assert runs.calls() == {**once_each(ROWS), **dict.fromkeys(range(101, 151), 2)}


def stopped(runs: LocalRuns) -> list[psutil.Process]:
    found = []
    for process in runs.workers():
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                found.append(process)
    return found


def test_a_zombie_that_comes_back_changes_nothing(runs: LocalRuns) -> None:
    """An orphan stops with a chunk in hand; another run takes the chunk over and ends the job; then it goes on."""
    # The first run's lease is that of production, so that it does not miss the worker before it is killed itself.
    runs.config = EngineConfig(progress_interval_seconds=0, heartbeat_seconds=0.25)
    runs.write(ROWS)
    options = {"row": 150, "mark": str(runs.mark), "chunk_size": 100, "batch_size": 10}
    expected = runs.undisturbed("stops_once", **{**options, "row": 0})
    parent = runs.start_child("stops_once", workers=1, **options)
    wait_until(lambda: stopped(runs), "the stopped worker")
    (zombie,) = stopped(runs)
    parent.kill()
    runs.config = EngineConfig(progress_interval_seconds=0, lease_seconds=LEASE_SECONDS)
    report = runs.run("stops_once", resume=True, workers=1, **options)
    assert (report.job.status, report.counts) == (Status.SUCCEEDED, Counts(success_count=ROWS))
    assert runs.results() == expected
    zombie.send_signal(signal.SIGCONT)
    zombie.wait(PATIENCE_SECONDS)
    assert runs.results() == expected
    assert runs.job().counts == report.counts
    # It ended its batch, if it did, and no more.
    late = [row for row, times in runs.calls().items() if times > 1]
    assert set(late) <= set(range(101, 161))


def test_a_run_that_slept_with_its_workers_repeats_nothing(runs: LocalRuns) -> None:
    """Ctrl-Z, or a laptop's lid: nobody spoke for longer than a lease, and nobody is dead."""
    runs.config = EngineConfig(progress_interval_seconds=0, lease_seconds=LEASE_SECONDS)
    runs.write(ROWS)
    parent = runs.start_child("waits", chunk_size=100, **runs.gates(150))
    runs.wait_until_reached()
    parent.signal_all(signal.SIGSTOP)
    wait_until(lambda: len(stopped(runs)) == 2, "the stopped workers")
    time.sleep(LEASE_SECONDS + 0.5)  # it is time itself that is tested
    parent.signal_all(signal.SIGCONT)
    runs.gate.touch()
    assert parent.told() == {"status": "succeeded", "processed": ROWS}
    assert runs.calls() == once_each(ROWS)


# Parents that end


def test_an_interrupted_run_ends_its_chunks_and_is_resumed(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    parent = runs.start_child("waits", chunk_size=50, grace_seconds=PATIENCE_SECONDS, **runs.gates(120))
    runs.wait_until_reached()
    parent.signal_all(signal.SIGINT)
    runs.gate.touch()
    assert parent.told()["code"] == "interrupted"
    wait_until(lambda: not runs.processes(), "the end of all processes")
    assert (runs.job().status, runs.job().phase) == (Status.RUNNING, Phase.PROCESSING)
    assert runs.run("waits", resume=True, chunk_size=50, **runs.gates(120)).succeeded
    assert runs.results() == expected
    assert runs.calls() == once_each(ROWS)


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupted_run_waits_no_longer_than_its_grace(runs: LocalRuns, interrupts: int) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    # With two interrupts the second ends the wait, however long the grace.
    grace = 0.2 if interrupts == 1 else 2.0
    # One worker, so that no other chunk is in hand for which the grace could be too short.
    options: dict[str, Any] = {"chunk_size": 50, "workers": 1, **runs.gates(120)}
    parent = runs.start_child("waits", grace_seconds=grace, told_interrupt=str(runs.mark), **options)
    runs.wait_until_reached()
    for number in range(interrupts):
        if number:  # two signals at the same moment would be one
            wait_until(runs.mark.exists, "the first interrupt")
        parent.signal(signal.SIGINT)
    assert parent.told()["code"] == "interrupted"
    wait_until(lambda: not runs.processes(), "the end of all processes")
    runs.gate.touch()
    assert runs.run("waits", resume=True, **options).succeeded
    assert runs.results() == expected
    calls = runs.calls()
    assert {row for row, times in calls.items() if times > 1} == set(range(101, 121))


def test_orphans_of_a_killed_parent_end_their_chunks_and_leave(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    first, second = runs.folder / "gate 1", runs.folder / "gate 2"
    options = {"chunk_size": 50, "gates": {"120": str(first), "170": str(second)}}
    parent = runs.start_child("waits_at_gates", **options)
    for gate in (first, second):
        wait_until(Path(f"{gate}.reached").exists, "the handlers")
    orphans = runs.workers()
    parent.kill()
    deadline = time.monotonic() + PATIENCE_SECONDS
    steps: list[tuple[int, Status]] = []

    def look(report: JobReport) -> None:
        # All else is through; the last two chunks are the orphans', who live, and are counted as they commit.
        for number, gate in enumerate((first, second)):
            if report.counts.processed_rows == ROWS - 100 + 50 * number and not gate.exists():
                steps.append((report.counts.processed_rows, report.job.status))
                gate.touch()
                return
        if time.monotonic() > deadline:
            first.touch()
            second.touch()
            raise AssertionError("waited in vain for the orphans' chunks")

    report = runs.run("waits_at_gates", resume=True, on_progress=look, **options)
    assert steps == [(ROWS - 100, Status.RUNNING), (ROWS - 50, Status.RUNNING)]
    assert report.counts == Counts(success_count=ROWS)
    assert runs.results() == expected
    assert runs.calls() == once_each(ROWS)
    psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)


def test_a_parent_killed_with_its_workers_is_resumed_with_the_same_bytes(runs: LocalRuns) -> None:
    runs.write(ROWS)
    expected = runs.undisturbed()
    parent = runs.start_child("waits", chunk_size=50, batch_size=10, **runs.gates(120))
    runs.wait_until_reached()
    parent.signal_all(signal.SIGKILL)
    runs.gate.touch()
    wait_until(lambda: not runs.processes(), "the end of all processes")
    report = runs.run("waits", resume=True, chunk_size=50, batch_size=10, **runs.gates(120))
    assert report.counts == Counts(success_count=ROWS)
    assert runs.results() == expected
    assert set(runs.calls()) == set(range(1, ROWS + 1))


def test_a_parent_killed_again_and_again_gets_there_in_the_end(runs: LocalRuns) -> None:
    rows = 6_000
    runs.write(rows)
    chance = random.Random(2)  # noqa: S311 - the same every time
    options = {"seconds": 0.002, "refused_every": 13, "chunk_size": 200, "batch_size": 50}
    expected = runs.undisturbed("by_index", refused_every=13)

    def handled() -> int:
        return runs.effects.read_bytes().count(b"\n") if runs.effects.exists() else 0

    for _ in range(4):
        limit = handled() + chance.randint(1, rows // 5)
        parent = runs.start_child("takes_time", resume=True, **options)
        wait_until(lambda limit=limit: handled() >= limit, "rows")  # type: ignore[misc]
        if chance.random() < 0.5:
            parent.kill()
        else:
            parent.signal_all(signal.SIGKILL)
            parent.kill()
    report = runs.run("takes_time", resume=True, **options)
    assert report.counts.processed_rows == rows
    assert runs.results() == expected
    assert set(runs.calls()) == set(range(1, rows + 1))


# Others that step in


def cancel_from_another_process(runs: LocalRuns) -> None:
    code = "import sys, engine; print(engine.cancel(output_dir=sys.argv[1]).job.cancel_requested)"
    subprocess.run([sys.executable, "-c", code, str(runs.output)], check=True, stdout=subprocess.DEVNULL)


def test_a_cancel_from_another_process_ends_the_run(runs: LocalRuns) -> None:
    runs.write(ROWS)
    parent = runs.start_child("waits", chunk_size=100, batch_size=10, workers=1, **runs.gates(155))
    runs.wait_until_reached()
    cancel_from_another_process(runs)
    assert (runs.job().status, runs.job().phase) == (Status.RUNNING, Phase.CANCELLING)
    runs.gate.touch()
    told = parent.told()
    assert told["status"] == "cancelled"
    # Up to a look of the parent may pass until the worker hears of it; whole batches only.
    assert told["processed"] % 10 == 0
    assert runs.calls() == once_each(told["processed"])
    assert len(read_csv(runs.output / "people.success.csv")) == told["processed"] + 1


@pytest.fixture
def busy_ledger(runs: LocalRuns) -> Iterator[threading.Event]:
    """Locks the ledger for a moment, again and again, while the event is not set."""
    ended = threading.Event()
    path = runs.output / ".rowmill" / "ledger.sqlite3"

    def lock() -> None:
        while not path.exists():
            if ended.wait(0.01):
                return
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        while not ended.wait(0.01):
            connection.execute("BEGIN IMMEDIATE")
            ended.wait(0.1)
            connection.execute("COMMIT")
        connection.close()

    thread = threading.Thread(target=lock)
    thread.start()
    yield ended
    ended.set()
    thread.join()


@pytest.mark.usefixtures("busy_ledger")
def test_a_ledger_that_others_keep_busy_is_waited_for(runs: LocalRuns) -> None:
    runs.write(200)
    assert runs.run("accept", chunk_size=20).counts == Counts(success_count=200)
    assert runs.calls() == once_each(200)


def test_workers_do_not_outlive_a_parent_that_dies_before_they_are_set_up(runs: LocalRuns) -> None:
    runs.write(ROWS)
    parent = runs.start_child("waits", workers=4, **runs.gates(1))
    wait_until(lambda: len(runs.processes()) >= 3, "the first workers")
    parent.kill()
    runs.gate.touch()
    wait_until(lambda: not runs.processes(), "the end of all processes")
    assert os.path.exists(runs.source)

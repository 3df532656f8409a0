"""PostgreSQL, Redis and S3 that are slow, away, cut off or garbled in mid-job: no row is lost, none is doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.config import EngineConfig
from tests.faults.conftest import ROWS, Shaken, check_rows
from tests.shaky_wire import Trap, Wire

#: What a worker says to PostgreSQL when it marks a chunk done and commits it.
COMMIT_OF_A_CHUNK = (b"""UPDATE "rowmill_imports_importchunk" SET "status" = 'done'""", b"COMMIT")
#: A request that is cut as often is made once more: however slow the machine, none is cut each time it is made.
MOST_CUTS = EngineConfig().s3_max_attempts - 1


@contextmanager
def cutting(wire: Wire, begun: threading.Event, *, every_seconds: float) -> Iterator[list[int]]:
    """Cut all connections again and again from that event on; yields how many clients each cut hit."""
    cuts: list[int] = []
    ended = threading.Event()

    def run() -> None:
        begun.wait()
        while sum(map(bool, cuts)) < MOST_CUTS and not ended.wait(every_seconds):
            cuts.append(wire.cut())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield cuts
    finally:
        ended.set()
        begun.set()
        thread.join()


def test_a_commit_whose_answer_is_lost_is_read_back_and_not_repeated(shaken: Shaken) -> None:
    job_id = shaken.start()
    trap = Trap(words=COMMIT_OF_A_CHUNK, fault="answer lost", times=2)
    shaken.database.traps.append(trap)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert trap.sprung == 2
    assert end["attempts"] == [1, 1, 1]


def test_a_commit_that_never_arrived_is_done_again(shaken: Shaken) -> None:
    job_id = shaken.start()
    trap = Trap(words=COMMIT_OF_A_CHUNK, fault="request lost", times=2)
    shaken.database.traps.append(trap)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert trap.sprung == 2
    assert sum(end["attempts"]) >= 3


@pytest.mark.parametrize("fault", ["request lost", "answer lost", "answer corrupt"])
def test_a_connection_to_the_database_that_breaks_among_the_rows_costs_none(shaken: Shaken, fault: str) -> None:
    job_id = shaken.start()
    trap = Trap(words=(b"myapp_seenrow",) * 7, fault=fault, times=2)  # type: ignore[arg-type]
    shaken.database.traps.append(trap)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    assert trap.sprung == 2
    check_rows(shaken.end(job_id))


def test_a_session_that_the_server_ends_in_the_middle_of_a_chunk_is_made_anew(shaken: Shaken) -> None:
    """A process that was stopped for longer than IMPORT_IDLE_TRANSACTION_SECONDS, and goes on."""
    mark = shaken.forks.folder / "slept"
    options = {"sleeps_on": 25, "sleep_seconds": 3.0, "mark": str(mark)}
    job_id = shaken.start("sleep_once", **options)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    assert mark.exists()
    check_rows(shaken.end(job_id))


def test_rows_that_are_busy_elsewhere_for_long_do_not_lose_their_session(shaken: Shaken) -> None:
    """Rows that call a service each, and together take longer than IMPORT_IDLE_TRANSACTION_SECONDS, here 2."""
    job_id = shaken.start("sleep_each_time", sleeps_on=list(range(1, 16)), sleep_seconds=0.2, batch_size=500)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    assert (end["status"], end["counts"], end["attempts"]) == ("succeeded", [ROWS, 0], [1, 1, 1])


def test_a_row_for_which_the_server_waits_too_long_is_the_only_one_to_fail(shaken: Shaken) -> None:
    job_id = shaken.start("sleep_each_time", sleeps_on=[25], sleep_seconds=2.6, batch_size=500)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    assert (end["status"], end["counts"]) == ("succeeded", [ROWS - 1, 1])


def test_a_handler_that_closes_its_connection_keeps_the_transaction_of_its_chunk(shaken: Shaken) -> None:
    job_id = shaken.start("close_connections")
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"] == [1, 1, 1]


def test_a_job_goes_on_without_redis_and_ends_with_exact_counts(shaken: Shaken) -> None:
    job_id = shaken.start()
    shaken.redis.go_down()
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    shaken.redis.is_down = False
    check_rows(shaken.end(job_id))


@pytest.mark.parametrize("fault", ["request lost", "answer lost", "answer corrupt"])
def test_broken_conversations_with_redis_cost_nothing(shaken: Shaken, fault: str) -> None:
    job_id = shaken.start()
    trap = Trap(words=(b"EVALSHA",), fault=fault, times=2)  # type: ignore[arg-type]
    shaken.redis.traps.append(trap)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    assert trap.sprung
    end = shaken.end(job_id)
    check_rows(end)
    assert (end["live_rows"] or 0) <= ROWS


def test_a_slow_redis_and_a_slow_storage_only_take_longer(shaken: Shaken) -> None:
    job_id = shaken.start()
    shaken.redis.delay_seconds = shaken.storage.delay_seconds = 0.05
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"] == [1, 1, 1]


def test_connections_to_s3_that_are_cut_again_and_again_cost_nothing(shaken: Shaken) -> None:
    job_id = shaken.start("write_slowly", seconds_per_row=0.02)
    # From the first row on; often, as the server closes each connection behind its answer.
    begun = threading.Event()
    shaken.database.traps.append(Trap(words=(b"myapp_seenrow",), fault="none", then=begun.set))
    with cutting(shaken.storage, begun, every_seconds=0.003) as cuts:
        child = shaken.forks.begin("work", job_id)
        assert child.wait() == "exit 0", child.error()
    assert sum(cuts) >= 1
    check_rows(shaken.end(job_id))


def test_a_storage_that_stays_away_fails_the_job_which_keeps_what_was_done(shaken: Shaken) -> None:
    job_id = shaken.start()
    # With the commit of the first chunk.
    shaken.database.traps.append(Trap(words=COMMIT_OF_A_CHUNK, fault="none", then=shaken.storage.go_down))
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    shaken.storage.is_down = False
    end = shaken.end(job_id)
    assert (end["status"], end["error_code"]) == ("failed", "storage_unavailable")
    assert sum(end["recount"]) == ROWS / 3
    child = shaken.forks.begin("work", job_id, resume=True)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"][0] == 1

"""What only Redis can go wrong with."""

from __future__ import annotations

import multiprocessing
import random
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import redis

from engine.config import EngineConfig
from engine.errors import OptionError, ServiceUnavailableError
from engine.model import Counts
from engine.progress import ProgressSnapshot, RedisProgress, url_without_secrets
from engine.progress.keys import cost_key, progress_key
from engine.progress.redis import RETRIES
from tests import services
from tests.services import free_port

CHUNK_ROWS = 50


@pytest.fixture
def client(own_valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_valkey_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def job_id() -> str:
    return str(uuid.uuid4())


def counts(success: int, failure: int = 0) -> Counts:
    return Counts(success_count=success, failure_count=failure)


def recount(client: redis.Redis, job_id: str) -> Counts:
    """The sum over what is stored for every chunk."""
    total = Counts()
    for name, value in client.hgetall(progress_key(job_id)).items():
        if name.isdigit():
            _, success, failed, _ = str(value).split(":")
            total += counts(int(success), int(failed))
    return total


def test_a_job_is_one_key_that_expires_and_is_refreshed(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    client.flushall()
    key = progress_key(job_id)
    calls: list[Callable[[], object]] = [
        lambda: redis_progress.request_cancel(job_id),
        lambda: redis_progress.begin(job_id, total_rows=5, done={1: counts(1)}),
        lambda: redis_progress.begin(job_id, total_rows=5, only_if_missing=True),
        lambda: redis_progress.set_total(job_id, 6),
        lambda: redis_progress.record(job_id, 0, 1, counts(1)),
        lambda: redis_progress.record(job_id, 1, 1, counts(9)),
    ]
    for call in calls:
        client.expire(key, 5)
        call()
        assert client.keys("*") == [key]
        assert client.ttl(key) > EngineConfig().progress_ttl_seconds - 10
    assert f"{{{job_id}}}" in key


def test_the_state_of_a_chunk_is_kept_as_documented(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    redis_progress.begin(job_id, total_rows=5, done={3: counts(2, 1)})
    redis_progress.record(job_id, 4, 2, counts(1, 0))
    assert client.hgetall(progress_key(job_id)) == {
        "3": "0:2:1:1",
        "4": "2:1:0:0",
        "success": "3",
        "failed": "1",
        "total": "5",
    }


def test_nothing_is_connected_before_the_first_call() -> None:
    RedisProgress.from_url(f"redis://127.0.0.1:{free_port()}/0", EngineConfig()).close()


def test_a_hundred_thousand_committed_chunks_are_begun_in_one_step(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    done = {index: counts(index % 100, 1) for index in range(100_000)}
    started = time.perf_counter()
    redis_progress.begin(job_id, total_rows=None, done=done)
    assert time.perf_counter() - started < 30
    snapshot = redis_progress.snapshot(job_id)
    assert snapshot is not None
    assert snapshot.counts == recount(client, job_id) == sum(done.values(), Counts())
    assert client.hlen(progress_key(job_id)) == 100_002
    redis_progress.clear(job_id)


def test_scripts_that_the_server_forgot_are_sent_again(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    redis_progress.begin(job_id, total_rows=5)
    client.script_flush()
    assert redis_progress.record(job_id, 0, 1, counts(1)) is False
    client.flushall()
    client.script_flush()
    assert redis_progress.record(job_id, 0, 1, counts(1)) is None


@contextmanager
def valkey_at(port: int, executable: str) -> Iterator[None]:
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        answers = False
        while not answers:
            assert process.poll() is None, "another has taken the port"
            time.sleep(0.01)
            with suppress(OSError):
                answers = services._answers_ping(port)
        yield
    finally:
        process.kill()
        process.wait()


def test_a_restarted_server_is_found_again_and_the_counters_are_missing(client: redis.Redis, job_id: str) -> None:
    executable = str(client.info("server")["executable"])
    port = free_port()
    store = RedisProgress.from_url(f"redis://127.0.0.1:{port}/0", EngineConfig())
    with ExitStack() as running:
        # The first call comes before the server is up, which it is by the end of the pause before the next try.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("redis.retry.sleep", lambda _: running.enter_context(valkey_at(port, executable)))
            store.begin(job_id, total_rows=5)
        assert store.record(job_id, 0, 1, counts(1)) is False
    with valkey_at(port, executable):
        assert store.record(job_id, 0, 1, counts(2)) is None
        store.begin(job_id, total_rows=5)
        assert store.record(job_id, 0, 1, counts(2)) is False
    store.close()


def test_connections_that_the_server_dropped_are_made_again(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    redis_progress.begin(job_id, total_rows=5)
    client.client_kill_filter(_type="normal", skipme=True)
    assert redis_progress.record(job_id, 0, 1, counts(1)) is False


def test_tries_do_not_multiply_where_connections_are_made_and_closed_at_once(job_id: str) -> None:
    """As by a proxy whose server is gone: a job goes on without Redis, and each of its calls waits for the last try."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = []

        def close_at_once() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    made.append(None)

        acceptor = threading.Thread(target=close_at_once)
        acceptor.start()
        store = RedisProgress.from_url(f"redis://127.0.0.1:{listener.getsockname()[1]}/1", EngineConfig())
        calls = (store.ping, lambda: store.record(job_id, 0, 1, counts(1)), lambda: store.snapshot(job_id))
        for call in calls:
            with pytest.raises(ServiceUnavailableError, match="does not answer"):
                call()
        store.close()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
    assert len(made) == len(calls) * (1 + RETRIES)


def test_a_server_that_is_away_is_named_without_its_password(job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.progress.redis.RETRIES", 1)
    port = free_port()
    store = RedisProgress.from_url(f"redis://me:secret@127.0.0.1:{port}/3?client_name=x", EngineConfig())
    for call in (
        lambda: store.begin(job_id, total_rows=1),
        lambda: store.set_total(job_id, 1),
        lambda: store.record(job_id, 0, 1, counts(1)),
        lambda: store.request_cancel(job_id),
        lambda: store.snapshot(job_id),
        lambda: store.clear(job_id),
        store.ping,
    ):
        with pytest.raises(ServiceUnavailableError) as caught:
            call()
        assert f"Redis at redis://127.0.0.1:{port}/3 does not answer" in caught.value.message
        assert "REDIS_URL" in caught.value.message
        assert "secret" not in str(caught.value.message)
        assert caught.value.transient
    store.close()


def test_a_server_that_refuses_says_why(own_valkey_url: str, client: redis.Redis, job_id: str) -> None:
    store = RedisProgress.from_url(own_valkey_url, EngineConfig())
    client.set(progress_key(job_id), "not a hash")
    with pytest.raises(ServiceUnavailableError, match=r"refuses: .*WRONGTYPE"):
        store.snapshot(job_id)
    store.close()


def test_a_wrong_address_is_an_option_error() -> None:
    with pytest.raises(OptionError, match=r"must begin with redis://.*'amqp://host/v'"):
        RedisProgress.from_url("amqp://user:secret@host/v", EngineConfig())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(OptionError, match=re.escape("pip install 'rowmill[celery]'")):
        RedisProgress.from_url("redis://127.0.0.1/0", EngineConfig())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p%40ss@host:1/0", "redis://host:1/0"),
        ("rediss://u:p@ss@host:1/0?password=x", "rediss://host:1/0"),
        ("unix:///run/redis.sock?password=x", "unix:///run/redis.sock"),
        ("redis://host", "redis://host"),
    ],
)
def test_secrets_are_left_out(url: str, shown: str) -> None:
    assert url_without_secrets(url) == shown


@pytest.mark.parametrize("form", ["unix://{}?db=2", "redis+socket://{}?virtual_host=2"])
def test_a_socket_is_an_address_too(form: str) -> None:
    store = RedisProgress.from_url(form.format("/absent/redis.sock"), EngineConfig())
    arguments = store._connected().connection_pool.connection_kwargs
    assert arguments["path"] == "/absent/redis.sock"
    assert int(arguments["db"]) == 2
    store.close()


def _record_chunks(url: str, job_id: str, chunk_indexes: list[int], seed: int) -> None:
    """One worker: two attempts a chunk, then the commit; what is lost meanwhile it rebuilds from the oracle."""
    store = RedisProgress.from_url(url, EngineConfig())
    dice = random.Random(seed)  # noqa: S311
    for chunk_index in chunk_indexes:
        for attempt in (1, 2):
            for step in range(0, CHUNK_ROWS + 1, dice.choice([5, 10])):
                store.record(job_id, chunk_index, attempt, counts(step))
        store.record(job_id, chunk_index, 2, counts(CHUNK_ROWS - 1, 1), done=True)
        # A zombie's late word.
        store.record(job_id, chunk_index, 1, counts(1))
    store.close()


def test_processes_lose_and_double_nothing(redis_progress: RedisProgress, own_valkey_url: str, job_id: str) -> None:
    chunk_count = 40
    redis_progress.begin(job_id, total_rows=chunk_count * CHUNK_ROWS)
    context = multiprocessing.get_context("spawn")
    workers = [
        # Every chunk is run by two processes, as when a message is delivered twice.
        context.Process(target=_record_chunks, args=(own_valkey_url, job_id, list(range(chunk_count)), seed))
        for seed in range(2)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        snapshot = redis_progress.snapshot(job_id)
        assert snapshot is not None
        assert snapshot.counts.processed_rows <= chunk_count * CHUNK_ROWS
        time.sleep(0.005)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    snapshot = redis_progress.snapshot(job_id)
    assert snapshot == ProgressSnapshot(
        total_rows=chunk_count * CHUNK_ROWS,
        counts=counts(chunk_count * (CHUNK_ROWS - 1), chunk_count),
        cancel_requested=False,
    )


def test_counters_wiped_in_the_middle_are_rebuilt_by_many_workers_at_once(
    redis_progress: RedisProgress, client: redis.Redis, job_id: str
) -> None:
    chunk_count = 60
    ledger: dict[int, Counts] = {}
    # After a wipe between a look at the ledger and what is begun by it, counters lag behind until recovery sees that,
    # and here nobody recovers.
    rebuilding = threading.Semaphore(6)
    redis_progress.begin(job_id, total_rows=chunk_count * CHUNK_ROWS)
    failures: list[BaseException] = []

    def report(chunk_index: int, now: Counts, *, done: bool) -> None:
        for _ in range(100):
            if redis_progress.record(job_id, chunk_index, 1, now, done=done) is not None:
                return
            with rebuilding:
                committed = dict(ledger)
                # Time for the others to commit more, and to rebuild from that.
                time.sleep(random.random() / 500)  # noqa: S311
                redis_progress.begin(job_id, total_rows=chunk_count * CHUNK_ROWS, done=committed, only_if_missing=True)
        raise AssertionError("the counters stay missing")

    def work(first: int) -> None:
        try:
            for chunk_index in range(first, chunk_count, 6):
                for step in range(0, CHUNK_ROWS, 10):
                    report(chunk_index, counts(step), done=False)
                ledger[chunk_index] = counts(CHUNK_ROWS - 1, 1)
                report(chunk_index, ledger[chunk_index], done=True)
        except BaseException as error:  # noqa: BLE001 - raised again by the test itself
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.03)
        for _ in range(6):
            rebuilding.acquire()
        client.flushall()
        rebuilding.release(6)
        snapshot = redis_progress.snapshot(job_id)
        assert snapshot is None or snapshot.counts.processed_rows <= chunk_count * CHUNK_ROWS
    for thread in threads:
        thread.join()
    assert not failures
    # The last wipe may have come after the last record.
    redis_progress.begin(job_id, total_rows=None, done=ledger, only_if_missing=True)
    snapshot = redis_progress.snapshot(job_id)
    assert snapshot is not None
    assert snapshot.counts == recount(client, job_id) == sum(ledger.values(), Counts())


def test_costs_of_rows_follow_the_latest_and_expire(redis_progress: RedisProgress, client: redis.Redis) -> None:
    client.flushall()
    assert redis_progress.seconds_per_row("a.handler") is None
    redis_progress.note_cost("a.handler", rows=1_000, seconds=10.0)
    assert redis_progress.seconds_per_row("a.handler") == pytest.approx(0.01)
    assert redis_progress.seconds_per_row("another.handler") is None
    for _ in range(10):
        redis_progress.note_cost("a.handler", rows=1_000, seconds=20.0)
    assert redis_progress.seconds_per_row("a.handler") == pytest.approx(0.02, rel=0.01)
    assert 0 < client.ttl(cost_key("a.handler")) <= EngineConfig().progress_ttl_seconds

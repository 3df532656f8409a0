"""Live counters in Redis or Valkey, shared by all workers of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from engine.config import EngineConfig
from engine.errors import OptionError, ServiceUnavailableError
from engine.model import Counts
from engine.progress.keys import (
    CANCEL_FIELD,
    FAILED_FIELD,
    LEDGERS_KEY,
    SUCCESS_FIELD,
    TOTAL_FIELD,
    cost_key,
    note_key,
    probe_key,
    progress_key,
    sums_key,
)
from engine.progress.protocol import ProgressSnapshot

if TYPE_CHECKING:
    import redis

#: Seconds without an answer after which a call is given up: a chunk in its transaction waits no longer for counters.
SOCKET_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0
#: Seconds of idleness after which a connection is tried before it is used again.
HEALTH_CHECK_SECONDS = 25
#: Further tries after a lost connection, waiting 0.1, 0.2 … seconds; every call may be repeated. The client makes them
#: for a connection and then for the command, so that a call ends within a second where no server is.
RETRIES = 2
RETRY_BASE_SECONDS = 0.05
RETRY_CAP_SECONDS = 1.0

#: Life of an answer that nobody takes.
PROBE_TTL_SECONDS = 60

#: Seconds of work with a handler that its costs are known by: the last few chunks.
REMEMBERED_COST_SECONDS = 20.0

#: Reply of record.lua.
_MISSING = -1
#: What a snapshot is made of.
_COUNTERS = [TOTAL_FIELD, SUCCESS_FIELD, FAILED_FIELD, CANCEL_FIELD]


class RedisProgress:
    """A ProgressStore whose every method is one round trip and one atomic step.

    Nothing is connected before the first call, so that an object made in a parent process serves
    its children. A lost connection is retried; a repeated call changes nothing. Safe for threads.
    """

    def __init__(self, connect: Callable[[], redis.Redis], *, shown_url: str, ttl_seconds: int) -> None:
        """Prefer `from_url`.

        Args:
            connect: makes the client; called once, at the first call.
            shown_url: where Redis is, for messages; without a password.
            ttl_seconds: how long the counters of a job are kept that nobody touches.
        """
        self._connect = connect
        self._shown_url = shown_url
        self._ttl_seconds = ttl_seconds
        self._lock = Lock()
        self._client: redis.Redis | None = None
        self._scripts: dict[str, Any] = {}

    @classmethod
    def from_url(cls, url: str, config: EngineConfig) -> RedisProgress:
        """Counters at a `redis://`, `rediss://` or `unix://` address (also Celery's `redis+socket://`).

        Raises:
            OptionError: the address is not of that form, or the Python package `redis` is missing.
        """
        url = _as_redis_url(url)
        shown_url = url_without_secrets(url)
        try:
            import redis

            from engine.progress.retries import OneLevelOfRetries
        except ImportError as error:
            raise OptionError(
                "Live counters in Redis need the Python package redis: pip install 'rowmill[celery]'.",
                option="redis_url",
            ) from error

        def connect() -> redis.Redis:
            client: redis.Redis = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=SOCKET_TIMEOUT_SECONDS,
                socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
                health_check_interval=HEALTH_CHECK_SECONDS,
                retry=OneLevelOfRetries(RETRIES, base_seconds=RETRY_BASE_SECONDS, cap_seconds=RETRY_CAP_SECONDS),
                **({} if url.startswith("unix:") else {"socket_keepalive": True}),
            )
            return client

        return cls(connect, shown_url=shown_url, ttl_seconds=config.progress_ttl_seconds)

    def begin(
        self,
        job_id: str,
        *,
        total_rows: int | None,
        done: Mapping[int, Counts] | None = None,
        only_if_missing: bool = False,
    ) -> None:
        """As the protocol has it. 100,000 committed chunks are about 2 MB, and hold Redis up for about 0.1 s."""
        committed = "".join(
            [f"{index}:{counts.success_count}:{counts.failure_count};" for index, counts in (done or {}).items()]
        )
        total = "" if total_rows is None else total_rows
        self._run("begin", job_id, total, committed, int(only_if_missing))

    def set_total(self, job_id: str, total_rows: int) -> None:
        """As the protocol has it."""
        self._run("set_total", job_id, total_rows)

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """As the protocol has it."""
        reply = self._run("record", job_id, chunk_index, attempt, counts.success_count, counts.failure_count, int(done))
        return None if reply == _MISSING else reply == 1

    def request_cancel(self, job_id: str) -> None:
        """As the protocol has it."""
        self._run("request_cancel", job_id)

    def snapshot(self, job_id: str) -> ProgressSnapshot | None:
        """As the protocol has it."""
        with self._errors():
            counters: Any = self._connected().hmget(progress_key(job_id), _COUNTERS)
        return _snapshot(counters)

    def clear(self, job_id: str) -> None:
        """As the protocol has it."""
        with self._errors():
            self._connected().unlink(progress_key(job_id))

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        """See `RowCosts`."""
        with self._errors():
            self._connected()
            self._scripts["note_cost"](
                keys=[cost_key(handler)], args=[rows, seconds, REMEMBERED_COST_SECONDS, self._ttl_seconds]
            )

    def seconds_per_row(self, handler: str) -> float | None:
        """See `RowCosts`."""
        with self._errors():
            rows, seconds = self._connected().hmget(cost_key(handler), ["rows", "seconds"])
        return float(seconds) / float(rows) if rows and seconds and float(rows) else None

    def note_and_snapshot(self, name: str) -> tuple[str | None, ProgressSnapshot | None]:
        """What is noted under a name, and the counters of the job whose id the name is, in one round trip."""
        with self._errors():
            self._connected()
            # A fifth of a status request less than by a pipeline of two commands.
            note, counters = self._scripts["note_and_counters"](keys=[note_key(name), progress_key(name)])
        return note or None, _snapshot(counters)

    def keep_note(self, names: Iterable[str], text: str, *, ttl_seconds: int) -> None:
        """Keep a text under each name where there is none, unless it was dropped a moment ago."""
        with self._errors():
            for name in names:
                self._connected().set(note_key(name), text, ex=ttl_seconds, nx=True)

    def drop_note(self, names: Iterable[str], *, shut_seconds: int) -> None:
        """Forget the text, and keep no other one for a while: it might come from whoever looked before the change."""
        with self._errors():
            for name in names:
                self._connected().set(note_key(name), "", ex=shut_seconds)

    def remember_ledger(self, ledger_url: str, *, now: float) -> None:
        """Note that a ledger has jobs in work, at `now` seconds since 1970."""
        with self._errors():
            client = self._connected()
            client.zadd(LEDGERS_KEY, {ledger_url: now})
            client.zremrangebyscore(LEDGERS_KEY, "-inf", now - self._ttl_seconds)
            client.expire(LEDGERS_KEY, self._ttl_seconds)

    def remembered_ledgers(self) -> list[str]:
        """The ledgers noted within the counters' life time."""
        with self._errors():
            return [str(ledger) for ledger in self._connected().zrange(LEDGERS_KEY, 0, -1)]

    def answer(self, name: str) -> None:
        """Answer a probe; repeating it changes nothing for who waits."""
        with self._errors():
            client = self._connected()
            client.rpush(probe_key(name), 1)
            client.expire(probe_key(name), PROBE_TTL_SECONDS)

    def take_answer(self, name: str) -> bool:
        """Whether a probe was answered since it was last asked."""
        with self._errors():
            return bool(self._connected().lpop(probe_key(name)))

    def add_sums(self, name: str, values: Mapping[str, float]) -> None:
        """Add to fields of a hash, in one round trip. A call that is repeated after a lost answer adds twice."""
        with self._errors():
            pipeline = self._connected().pipeline(transaction=False)
            for field, value in values.items():
                pipeline.hincrbyfloat(sums_key(name), field, value)
            pipeline.expire(sums_key(name), self._ttl_seconds)
            pipeline.execute()

    def sums(self, name: str) -> dict[str, float]:
        """All fields of the hash."""
        with self._errors():
            found: Any = self._connected().hgetall(sums_key(name))
        return {field: float(value) for field, value in found.items()}

    def ping(self) -> None:
        """Let a Redis that answers pass.

        Raises:
            ServiceUnavailableError: it does not.
        """
        with self._errors():
            self._connected().ping()

    def close(self) -> None:
        """Let go of the connections; a later call makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run(self, script: str, job_id: str, *arguments: int | str) -> int:
        """Run a script by its hash; redis-py sends its text again to a server that has lost it."""
        with self._errors():
            self._connected()
            reply: int = self._scripts[script](keys=[progress_key(job_id)], args=[*arguments, self._ttl_seconds])
        return reply

    def _connected(self) -> redis.Redis:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
                names = ("begin", "note_and_counters", "note_cost", "record", "request_cancel", "set_total")
                self._scripts = {name: self._client.register_script(_script_text(name)) for name in names}
            return self._client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import ConnectionError, RedisError, TimeoutError

        try:
            yield
        except (ConnectionError, TimeoutError) as error:
            raise ServiceUnavailableError(
                f"Redis at {self._shown_url} does not answer: {error}. "
                "Start it, or set REDIS_URL to where it is; counters that are lost are rebuilt.",
                service="redis",
                url=self._shown_url,
            ) from error
        except RedisError as error:
            raise ServiceUnavailableError(
                f"Redis at {self._shown_url} refuses: {error}. "
                "It must be a writable Redis 6 or Valkey with Lua scripts, and memory to spare.",
                service="redis",
                url=self._shown_url,
            ) from error


def _snapshot(counters: Sequence[str | None]) -> ProgressSnapshot | None:
    total, success, failed, cancel = counters
    if success is None or failed is None:
        return None
    return ProgressSnapshot(
        total_rows=None if total is None else int(total),
        counts=Counts(success_count=int(success), failure_count=int(failed)),
        cancel_requested=cancel is not None,
    )


def url_without_secrets(url: str) -> str:
    """The address without user, password and query, fit for a message or a log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _as_redis_url(url: str) -> str:
    """The address in the form redis-py knows."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        # Celery's name for a socket, with the database in `virtual_host`.
        query = [("db" if name == "virtual_host" else name, value) for name, value in parse_qsl(parts.query)]
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise OptionError(
            f"redis_url must begin with redis://, rediss:// or unix://, which {url_without_secrets(url)!r} does not.",
            option="redis_url",
        )
    return url


@cache
def _script_text(name: str) -> str:
    from importlib import resources  # takes a while to load, where no script is needed

    return resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")

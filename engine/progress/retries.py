"""How often a call to Redis is tried before it is given up."""

from __future__ import annotations

from threading import local
from typing import Any

from redis import exceptions
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

#: Not a timeout: a server that hangs would be waited for again and again. redis-py 6 tells of a refused connection as
#: the system does.
_LOST_CONNECTION = (exceptions.ConnectionError, ConnectionError)
_under_way = local()


class OneLevelOfRetries(Retry):
    """Tries after a lost connection, of which those of a thread that lie within others are made once.

    redis-py tries a connection, within that the greeting and within that a ping, each as often as a
    call: behind a proxy whose server is gone that multiplies, to 9 connections and 1.3 s with redis-py 8.
    """

    def __init__(self, retries: int, *, base_seconds: float, cap_seconds: float) -> None:
        super().__init__(ExponentialBackoff(cap=cap_seconds, base=base_seconds), retries, _LOST_CONNECTION)

    def call_with_retry(self, *arguments: Any, **options: Any) -> Any:
        """As redis-py has it; in a call within a call, the first failure is the last."""
        if getattr(_under_way, "is_set", False):
            return Retry(NoBackoff(), 0, _LOST_CONNECTION).call_with_retry(*arguments, **options)
        _under_way.is_set = True
        try:
            return super().call_with_retry(*arguments, **options)
        finally:
            _under_way.is_set = False

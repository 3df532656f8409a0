"""Celery's soft time limit, which must not interrupt a step of an import."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_soft_time_limit() -> Iterator[None]:
    """A task in whose body no SoftTimeLimitExceeded is raised, whatever the project says for all of its tasks.

    It would come out of whatever statement is at hand: of a row of the handler's, which would be refused though nothing
    is wrong with it, or of a COMMIT, whose outcome is unknown then. A step is bounded by itself: by a chunk's size.
    Nothing is changed in pools that know no such limit. Also a decorator.
    """
    from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

    is_held_off = (
        threading.current_thread() is threading.main_thread()
        and SIG_SOFT_TIMEOUT is not None
        and signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler
    )
    if is_held_off:
        signal.signal(SIG_SOFT_TIMEOUT, signal.SIG_IGN)
    try:
        yield
    finally:
        if is_held_off:
            signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)

"""The recovery loop: a thread beside every Celery worker that looks after jobs whose worker or message was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from engine.runtime.spent_timers import let_go_soon

logger = logging.getLogger(__name__)


class RecoveryLoop:
    """Calls `look` every so many seconds in a thread, whatever a look meets."""

    def __init__(self, look: Callable[[], None], interval_seconds: float) -> None:
        self._look = look
        self._interval_seconds = interval_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="rowmill-recovery", daemon=True)

    def start(self) -> None:
        """Begin; the first look comes after a tenth of the interval."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look in hand."""
        self._ended.set()

    def _loop(self) -> None:
        pause = self._interval_seconds / 10
        while not self._ended.wait(pause):
            pause = self._interval_seconds
            try:
                self._look()
            except Exception:
                logger.exception("recovery failed")


def install_in_workers(look: Callable[[], None], interval_seconds: Callable[[], float]) -> None:
    """Start a loop with the worker of this process, if it becomes one, and end it when the worker does.

    Args:
        look: safe to be called by several workers at once.
        interval_seconds: asked when the worker is ready.
    """
    loops: list[RecoveryLoop] = []

    def start(sender: Any = None, **_: Any) -> None:
        hub = getattr(sender, "hub", None)

        def look_and_tidy() -> None:
            try:
                look()
            finally:
                let_go_soon(hub)

        loop = RecoveryLoop(look_and_tidy, interval_seconds())
        loops.append(loop)
        loop.start()

    def stop(**_: Any) -> None:
        for loop in loops:
            loop.stop()

    worker_ready.connect(start, weak=False)
    worker_shutting_down.connect(stop, weak=False)

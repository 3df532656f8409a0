"""Celery keeps the timer of a task's time limit until that time, long after the task has ended."""

from __future__ import annotations

import heapq
from typing import Any


def let_go_soon(hub: Any) -> None:
    """Have the event loop of a worker forget the timers that were cancelled; called from any thread.

    Half a kilobyte a task, which with a limit of weeks would fill the process that no `worker_max_memory_per_child`
    replaces. A worker without such a loop (None) has no such timers.
    """
    if hub is not None:
        hub.call_soon(_let_go, hub.timer)


def _let_go(timer: Any) -> None:
    # In the loop's own thread, so that nobody adds a timer meanwhile. The list stays the same, as others hold it.
    queue = getattr(timer, "_queue", None)
    if queue:
        queue[:] = [scheduled for scheduled in queue if not scheduled[2].canceled]
        heapq.heapify(queue)

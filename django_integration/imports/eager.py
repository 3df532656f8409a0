"""Messages of a project that says `task_always_eager`: what they order is done by the process that sends them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from celery import current_app

_threads_own = threading.local()


def do(task: str, arguments: tuple[Any, ...], task_id: str | None) -> None:
    """Run a task of ours here; what it orders meanwhile is run behind it, so that thousands of chunks nest no calls.

    Also where one of them raises, as with `task_eager_propagates`; the first error comes out when all is done, as no
    recovery would find what is left.
    """
    waiting: deque[tuple[str, tuple[Any, ...], str | None]] | None = getattr(_threads_own, "waiting", None)
    if waiting is not None:
        waiting.append((task, arguments, task_id))
        return
    from django_integration.imports import tasks  # which send, too

    del tasks  # imported so that they are known
    waiting = _threads_own.waiting = deque([(task, arguments, task_id)])
    errors: list[Exception] = []
    try:
        while waiting:
            task, arguments, task_id = waiting.popleft()
            try:
                current_app.tasks[task].apply(args=arguments, task_id=task_id)
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
    finally:
        del _threads_own.waiting
    if errors:
        raise errors[0]

"""The example project's Celery app, whose children fork: a killed one is replaced in milliseconds, not in seconds.

For the quick form alone. Its handler loads no library with threads of its own, which a fork would not bear.
"""

from __future__ import annotations

from project.celery import app

app.conf.worker_pool_start_method = "fork"

__all__ = ["app"]

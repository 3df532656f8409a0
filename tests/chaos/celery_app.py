"""The example project's Celery app, whose children fork: a killed one is replaced in milliseconds, not in seconds.

For the quick form alone: a fork does not bear a parent that has used polars, and here only the children do.
"""

from __future__ import annotations

from project.celery import app

app.conf.worker_pool_start_method = "fork"

__all__ = ["app"]

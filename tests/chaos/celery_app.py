"""The example project's Celery app, whose children fork: a killed one is replaced in milliseconds, not in seconds.

For the quick form alone: a fork does not bear a parent that has used polars, and here only the children do. The parent
loads what each child would load for itself, half a second of its work.
"""

from __future__ import annotations

from typing import Any

from celery.signals import worker_init
from project.celery import app

app.conf.worker_pool_start_method = "fork"


@worker_init.connect
def load(**_: Any) -> None:
    """Load what a child needs, once Django is set up."""
    import travel.import_handlers  # noqa: F401

    import tests.chaos.handlers  # noqa: F401
    from engine.chunk_runner import load_batch_libraries
    from engine.config import EngineConfig
    from engine.storage.s3_client import client_of_process

    load_batch_libraries()
    # A child makes a client of its own; what describes S3 to it has been read then.
    client_of_process(EngineConfig.from_env(), fail_fast=False)


__all__ = ["app"]

"""A Celery app for those who have none: `celery -A engine.runtime.celery_app worker`.

REDIS_URL names the broker. Workers consume both of the engine's queues without further flags, and
find handlers in the folder they were started in, as the command line does.
"""

from __future__ import annotations

import os
import sys

from celery import Celery
from kombu import Exchange, Queue

from engine.config import EngineConfig
from engine.runtime.celery_settings import CHUNK_QUEUE, CONTROL_QUEUE, recommended_settings
from engine.runtime.ledger_registry import LedgerRegistry
from engine.runtime.recovery_loop import install_in_workers

# Celery has the current folder on the path only while it imports this module, and then takes it off again.
sys.path.append(os.getcwd())

_config = EngineConfig.from_env()
app = Celery("rowmill", include=["engine.runtime.celery_tasks"])
app.conf.update(
    recommended_settings(_config),
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (CONTROL_QUEUE, CHUNK_QUEUE)],
    task_default_queue=CONTROL_QUEUE,
)


def _recover() -> None:
    from engine.runtime.celery_tasks import recover_all

    app.set_current()  # the loop's thread has no app of its own
    recover_all(_registry)


_registry = LedgerRegistry(_config)
install_in_workers(_recover, lambda: _config.recovery_interval_seconds)

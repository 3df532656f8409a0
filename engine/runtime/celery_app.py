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
from engine.runtime import celery_recovery
from engine.runtime.celery_settings import CHUNK_QUEUE, CONTROL_QUEUE, recommended_settings

# Celery has the current folder on the path only while it imports this module, and then takes it off again.
sys.path.append(os.getcwd())

app = Celery("rowmill", include=["engine.runtime.celery_tasks"])
app.conf.update(
    recommended_settings(EngineConfig.from_env()),
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (CONTROL_QUEUE, CHUNK_QUEUE)],
    task_default_queue=CONTROL_QUEUE,
)
celery_recovery.install(app)

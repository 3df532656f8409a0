"""The project's own Celery app: its workers run imports, and whatever else the team has.

celery --workdir scripts/example -A project worker
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

from engine.config import EngineConfig
from engine.runtime.celery_settings import CHUNK_QUEUE, CONTROL_QUEUE, recommended_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.conf.update(
    # The broker is the REDIS_URL of the environment, as in the settings.
    recommended_settings(EngineConfig.from_env()),
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (CONTROL_QUEUE, CHUNK_QUEUE)],
    task_default_queue=CONTROL_QUEUE,
    # Scans and merges are few and short, and must not wait behind the chunks of a huge import.
    task_routes={
        "rowmill.imports.plan": {"queue": CONTROL_QUEUE},
        "rowmill.imports.finish": {"queue": CONTROL_QUEUE},
        "rowmill.imports.chunk": {"queue": CHUNK_QUEUE},
        "rowmill.imports.help": {"queue": CHUNK_QUEUE},
    },
)
app.autodiscover_tasks()

"""The project's Celery app, with the settings that the engine recommends."""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

from engine.config import EngineConfig
from engine.runtime.celery_settings import CHUNK_QUEUE, CONTROL_QUEUE, recommended_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.project.settings")

app = Celery("benchmarks")
app.conf.update(recommended_settings(EngineConfig.from_env()))
# Without it, messages of all kinds wait in one queue, as in a project that says nothing of queues.
if "BENCHMARK_ONE_QUEUE" not in os.environ:
    app.conf.update(
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (CONTROL_QUEUE, CHUNK_QUEUE)],
        task_default_queue=CHUNK_QUEUE,
        task_routes={
            "rowmill.imports.plan": {"queue": CONTROL_QUEUE},
            "rowmill.imports.finish": {"queue": CONTROL_QUEUE},
        },
    )
app.autodiscover_tasks()

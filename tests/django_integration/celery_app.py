"""The Celery app of the tests' project, as a host project has one.

Where `TEST_FORKS` is set, children fork: one in the place of a killed one is there in milliseconds, and not after a
second of work. A fork does not bear a parent that has used polars, and here only the children do.
"""

import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import worker_init

from engine.config import EngineConfig
from engine.runtime.celery_settings import recommended_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_integration.settings")

app = Celery("tests")
app.conf.update({**recommended_settings(EngineConfig.from_env()), "task_routes": {}})
app.autodiscover_tasks()

if "TEST_FORKS" in os.environ:
    app.conf.worker_pool_start_method = "fork"

    @worker_init.connect
    def load(**_: Any) -> None:
        """Load what each child would load for itself, once Django is set up."""
        for name in ("django_integration.imports.bridge", "tests.django_integration.myapp.handlers", "psycopg"):
            import_module(name)

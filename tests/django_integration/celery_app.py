"""The Celery app of the tests' project, as a host project has one."""

import os

from celery import Celery

from engine.config import EngineConfig
from engine.runtime.celery_settings import recommended_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_integration.settings")

app = Celery("tests")
app.conf.update({**recommended_settings(EngineConfig.from_env()), "task_routes": {}})
app.autodiscover_tasks()

"""For a web server."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from benchmarks.project.celery import app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.project.settings")

app.set_current()
application = get_wsgi_application()

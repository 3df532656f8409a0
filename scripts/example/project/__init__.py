"""The example project. Its Celery app is loaded with it, so that the web processes send by it too."""

from project.celery import app as celery_app

__all__ = ["celery_app"]

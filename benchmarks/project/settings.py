"""A project as small as can be, on PostgreSQL, Redis and S3: what the environment names."""

import os
from urllib.parse import urlsplit

_database = urlsplit(os.environ["DATABASE_URL"])

SECRET_KEY = "only-for-benchmarks"  # noqa: S105 - no secret
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_integration.files",
    "django_integration.imports",
    "benchmarks.project",
]
if "BENCHMARK_EXTENSIONS" in os.environ:
    INSTALLED_APPS += ["import_export", "import_export_extensions"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": _database.username,
        "PASSWORD": _database.password or "",
        "HOST": _database.hostname,
        "PORT": _database.port,
    }
}
MIDDLEWARE = [
    "benchmarks.project.login.count_queries",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
REST_FRAMEWORK = {
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_AUTHENTICATION_CLASSES": ["benchmarks.project.login.TokenLogin"],
}
CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
FILES_S3_ENDPOINT_URL = os.environ.get("S3_ENDPOINT_URL")
FILES_STORAGE_URL = os.environ.get("FILES_STORAGE_URL", "s3://benchmark")
MEDIA_ROOT = os.environ.get("BENCHMARK_MEDIA_ROOT", "")
#: `benchmarks.fairness` posts more at once than one user may by default.
IMPORT_MAX_RUNNING_JOBS_PER_USER = None
#: The peers' tasks run where they are called, without a broker.
CELERY_TASK_ALWAYS_EAGER = True

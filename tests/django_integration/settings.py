"""Settings of the tests: SQLite, or the PostgreSQL or MariaDB that `DATABASE_URL` names."""

import os
import tempfile
from urllib.parse import unquote, urlsplit

SECRET_KEY = "only-for-tests"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.django_integration.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
#: Tests that store something set a folder of their own.
MEDIA_ROOT = os.environ.get("TEST_MEDIA_ROOT") or os.path.join(tempfile.gettempdir(), "rowmill-test-media")
#: `s3://bucket` in place of that folder.
FILES_STORAGE_URL = os.environ.get("TEST_STORAGE_URL")
FILES_S3_ENDPOINT_URL = os.environ.get("TEST_S3_ENDPOINT_URL")

CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
#: A test that waits for recovery does not wait for long.
IMPORT_RECOVERY_INTERVAL_SECONDS = float(os.environ.get("TEST_RECOVERY_SECONDS", "10"))
IMPORT_WINDOW = int(os.environ.get("TEST_WINDOW", "16"))
if "TEST_LEASE_SECONDS" in os.environ:
    IMPORT_LEASE_SECONDS = float(os.environ["TEST_LEASE_SECONDS"])
    IMPORT_RESEND_AFTER_SECONDS = float(os.environ.get("TEST_RESEND_SECONDS", IMPORT_LEASE_SECONDS))
    IMPORT_IDLE_TRANSACTION_SECONDS = int(os.environ.get("TEST_IDLE_SECONDS", max(1.0, IMPORT_LEASE_SECONDS)))

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "drf_spectacular",
    "django_integration.files",
    "django_integration.imports",
    "tests.django_integration.myapp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

#: Users are made by the dozen; nobody attacks their passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

REST_FRAMEWORK = {
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

SPECTACULAR_SETTINGS = {"TITLE": "rowmill", "VERSION": "1"}


def _database() -> dict[str, object]:
    url = os.environ.get("DATABASE_URL")
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        options = {"transaction_mode": "IMMEDIATE", "timeout": 60, "init_command": "PRAGMA journal_mode=WAL"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path, "OPTIONS": options}
    return {
        "ENGINE": f"django.db.backends.{'mysql' if parts.scheme == 'mysql' else 'postgresql'}",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
    }


DATABASES = {"default": _database()}

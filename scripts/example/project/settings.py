"""Settings of the example. For trying out on one's own machine, never for a server that others reach:
DEBUG is on, and `scripts/serve` makes users whose passwords everybody knows.

Environment, all optional:
    DATABASE_URL      postgres://user:password@host:port/name; else a SQLite file in the data folder
    REDIS_URL         broker and live counters; `scripts/serve` starts a server where there is none
    FILES_STORAGE_URL s3://bucket[/prefix]; else a folder in the data folder
    S3_ENDPOINT_URL   of an S3 other than Amazon's; with it alone the bucket is `rowmill-example`
    SERVE_DATA_DIR    the data folder; else `.serve` in the root of the repository
"""

import os
from pathlib import Path

from project.database import database_from_url
from project.secret_key import kept_secret_key

_EXAMPLE = Path(__file__).resolve().parents[1]
DATA_DIR = Path(os.environ.get("SERVE_DATA_DIR") or _EXAMPLE.parents[1] / ".serve").absolute()
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = True
SECRET_KEY = kept_secret_key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "rest_framework:login"
LOGIN_REDIRECT_URL = "start"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_integration.files",
    "django_integration.imports",
    "travel",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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

DATABASES = {"default": database_from_url(os.environ.get("DATABASE_URL"), DATA_DIR / "db.sqlite3")}

#: The passwords are known anyway, and HTTP Basic has one checked with every request.
PASSWORD_HASHERS = ["project.hashers.QuickPasswordHasher"]

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "rowmill example",
    "DESCRIPTION": "Airports and flights, imported from CSV files.",
    "VERSION": "1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "project.openapi.document_errors",
    ],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    # From this server, so that the page works without the internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CELERY_BROKER_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"

FILES_S3_ENDPOINT_URL = os.environ.get("S3_ENDPOINT_URL") or None
FILES_STORAGE_URL = os.environ.get("FILES_STORAGE_URL") or (
    "s3://rowmill-example" if FILES_S3_ENDPOINT_URL else str(DATA_DIR / "files")
)
FILES_PURPOSES: dict[str, dict[str, object]] = {"airport_import": {}, "flight_import": {}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

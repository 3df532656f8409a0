"""As the tests' settings, but for what differs between projects."""

from tests.django_integration.settings import *  # noqa: F403
from tests.django_integration.settings import INSTALLED_APPS, REST_FRAMEWORK

INSTALLED_APPS = [*INSTALLED_APPS, "tests.django_integration.other_project"]
AUTH_USER_MODEL = "other_project.Person"
ROOT_URLCONF = "tests.django_integration.other_project.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "ATOMIC_REQUESTS": True}}
REST_FRAMEWORK = {
    **REST_FRAMEWORK,
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
    "ALLOWED_VERSIONS": ["v1", "v2"],
    "DEFAULT_VERSION": "v1",
}

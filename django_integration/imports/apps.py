"""The imports app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ImportsConfig(AppConfig):
    """Import jobs and their chunks."""

    name = "django_integration.imports"
    label = "rowmill_imports"
    verbose_name = _("Imports")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from django_integration.imports import checks  # noqa: F401

"""The files app."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class FilesConfig(AppConfig):
    """Uploaded and result files: records beside what lies in the storage."""

    name = "django_integration.files"
    label = "rowmill_files"
    verbose_name = _("Files")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from django_integration.files.checks import check_settings, check_storage, check_storage_writable

        checks.register(check_settings)
        checks.register(check_storage)
        checks.register(check_storage_writable, deploy=True)

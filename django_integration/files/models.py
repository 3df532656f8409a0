"""A file in the storage, as the database knows it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_integration.primary import PrimaryManager


class FileModel(models.Model):
    """One stored file. The model records; `services` presigns, confirms and links."""

    purpose = models.CharField(_("purpose"), max_length=100, db_index=True)
    file_name = models.CharField(_("file name"), max_length=255, help_text=_("As the user named it; never a path."))
    file_path = models.CharField(
        _("file path"), max_length=1024, unique=True, help_text=_("Key in the storage, made by the server.")
    )
    is_confirmed = models.BooleanField(_("confirmed"), default=False)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("uploaded by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    size = models.BigIntegerField(_("size"), null=True, blank=True, help_text=_("Bytes; as verified once confirmed."))
    checksum = models.CharField(_("checksum"), max_length=64, blank=True, help_text=_("SHA-256 in hexadecimal."))
    content_type = models.CharField(_("content type"), max_length=255, blank=True)
    etag = models.CharField(
        "ETag", max_length=255, blank=True, help_text=_("Of the version that was confirmed; an import reads no other.")
    )
    upload_id = models.CharField(_("multipart upload"), max_length=1024, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)

    objects = PrimaryManager["FileModel"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("file")
        verbose_name_plural = _("files")
        ordering = ("-id",)
        permissions = (("manage_filemodels", _("Can see and confirm everybody's files")),)
        indexes = (
            models.Index(fields=["uploaded_by"], name="rowmill_file_waiting", condition=models.Q(is_confirmed=False)),
        )

    def __str__(self) -> str:
        return f"{self.file_name} ({self.purpose})"

    @property
    def status(self) -> str:
        """`waiting` for the upload or its confirmation, or `confirmed`."""
        return "confirmed" if self.is_confirmed else "waiting"

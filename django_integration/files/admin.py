"""Files in the admin: facts to read, and a fresh download link per click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import RowmillError, download_link

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[FileModel]
else:  # generic in the stubs only
    _ModelAdmin = admin.ModelAdmin


@admin.register(FileModel)
class FileAdmin(_ModelAdmin):
    """Nothing can be added, changed or deleted here: the records are facts about stored objects."""

    list_display = ("id", "file_name", "purpose", "uploaded_by", "size", "is_confirmed", "created_at", "download")
    list_filter = ("is_confirmed", "purpose")
    list_select_related = ("uploaded_by",)
    search_fields = ("file_name", "file_path", "checksum")
    date_hierarchy = "created_at"
    fields = (
        "file_name",
        "purpose",
        "file_path",
        "uploaded_by",
        "size",
        "checksum",
        "content_type",
        "etag",
        "is_confirmed",
        "created_at",
        "confirmed_at",
        "download",
    )
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: FileModel | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FileModel | None = None) -> bool:
        """Never: the object would stay."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """And the download."""
        view = self.admin_site.admin_view(self.redirect_to_download)
        return [path("<int:pk>/download/", view, name="rowmill_files_filemodel_download"), *super().get_urls()]

    @admin.display(description=_("download"))
    def download(self, file: FileModel) -> str:
        """To the view below: the page itself holds no link that would be a right."""
        if not file.is_confirmed:
            return "–"
        address = reverse(f"{self.admin_site.name}:rowmill_files_filemodel_download", args=[file.pk])
        return format_html('<a href="{}">{}</a>', address, gettext("Download"))

    def redirect_to_download(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """To a fresh link, for those who may see the file."""
        file = get_object_or_404(FileModel, pk=pk, is_confirmed=True)
        if not self.has_view_permission(request, file):
            raise PermissionDenied
        try:
            return redirect(
                download_link(file.file_path, file.file_name, import_settings().result_presign_expires, request)
            )
        except RowmillError:
            messages.error(request, gettext("The storage cannot be asked at the moment; try again later."))
            return redirect(f"{self.admin_site.name}:rowmill_files_filemodel_change", file.pk)

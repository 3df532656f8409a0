"""Import jobs in the admin: facts to read, fresh download links per click, and a cancel."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_integration.conf import import_settings
from django_integration.files.storage import RowmillError, download_link
from django_integration.imports import services
from django_integration.imports.admin_actions import JobActions
from django_integration.imports.models import ImportChunk, ImportJob
from django_integration.imports.result_records import result_name

#: Which result file of a job an address means.
_KINDS = ("success", "failed", "unprocessed")


@admin.register(ImportJob)
class ImportJobAdmin(JobActions):
    """Nothing can be added, changed or deleted here; who may manage all jobs can cancel them.

    A deleted job would leave its result files in the storage with nobody who knows of them.
    """

    list_display = (
        "id",
        "file_name",
        "status",
        "phase",
        "progress",
        "success_count",
        "failure_count",
        "created_by",
        "created_at",
        "finished_at",
    )
    list_filter = ("status", "phase", "created_at", "handler_path")
    list_select_related = ("file", "created_by")
    list_per_page = 50
    # Counting all jobs for the sake of "5 of 2,000,000" takes longer than finding the five.
    show_full_result_count = False
    actions = ("pause_selected", "resume_selected", "retry_selected", "cancel_selected")
    fieldsets = (
        (None, {"fields": ("id", "source", "created_by", "handler_path", "options_as_text", "celery_task_id")}),
        (
            _("Progress"),
            {"fields": ("status", "phase", "paused", "cancel_requested", "live_progress", "chunks_by_status")},
        ),
        (
            _("Results"),
            {
                "fields": (
                    "success_result",
                    "failed_result",
                    "unprocessed_result",
                    "reasons",
                    "error_code",
                    "error_message",
                    "retry_of",
                )
            },
        ),
        (_("Times"), {"fields": ("created_at", "started_at", "finished_at")}),
    )
    readonly_fields = (
        "id",
        "source",
        "created_by",
        "handler_path",
        "options_as_text",
        "celery_task_id",
        "status",
        "phase",
        "paused",
        "cancel_requested",
        "live_progress",
        "chunks_by_status",
        "success_result",
        "failed_result",
        "unprocessed_result",
        "reasons",
        "retry_of",
        "error_code",
        "error_message",
        "created_at",
        "started_at",
        "finished_at",
    )

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Also by the user's name, which the project's user model may call otherwise."""
        name = getattr(get_user_model(), "USERNAME_FIELD", "username")
        return ("id__startswith", "=celery_task_id", "file__file_name", f"=created_by__{name}", "handler_path")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        """With everything that a line or a page shows, in one query."""
        return super().get_queryset(request).select_related("file", "created_by")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Never: jobs begin with a request or `manage.py import_file`."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ImportJob | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ImportJob | None = None) -> bool:
        """Never."""
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel everybody's jobs."""
        return services.may_manage(request.user)

    def get_urls(self) -> list[URLPattern]:
        """And the downloads."""
        view = self.admin_site.admin_view(self.redirect_to_result)
        name = "rowmill_imports_importjob_result"
        return [path("<uuid:pk>/result/<str:kind>/", view, name=name), *super().get_urls()]

    # Actions and views

    def redirect_to_result(self, request: HttpRequest, pk: uuid.UUID, kind: str) -> HttpResponseBase:
        """To a fresh link to a result file, for those who may see the job."""
        job = get_object_or_404(ImportJob.objects.select_related("file"), pk=pk)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        key = _result_key(job, kind) if kind in _KINDS else ""
        if not key:
            raise Http404
        try:
            link = download_link(key, result_name(job, key), import_settings().result_presign_expires, request)
        except RowmillError:
            messages.error(request, gettext("The storage cannot be asked at the moment; try again later."))
            return redirect(f"{self.admin_site.name}:rowmill_imports_importjob_change", job.pk)
        return redirect(link)

    # Columns and facts

    @admin.display(description=_("file"), ordering="file__file_name")
    def file_name(self, job: ImportJob) -> str:
        """As the user named it."""
        return job.file.file_name

    @admin.display(description=_("progress"))
    def progress(self, job: ImportJob) -> str:
        """As the database has it; a list asks Redis for nothing."""
        return _share(job.processed_rows, job.total_rows)

    @admin.display(description=_("progress"))
    def live_progress(self, job: ImportJob) -> str:
        """As of this moment, where the live counters can be asked."""
        live = services.live_progress(job)
        counts = live.counts
        facts = {"succeeded": f"{counts.success_count:,}", "failed": f"{counts.failure_count:,}"}
        share = _share(counts.processed_rows, live.total_rows)
        outcome = gettext("%(succeeded)s succeeded, %(failed)s failed") % facts
        return f"{share} – {outcome}"

    @admin.display(description=_("chunks"))
    def chunks_by_status(self, job: ImportJob) -> str:
        """How many there are in each state."""
        counts = dict(
            ImportChunk.objects.using(import_settings().database)
            .filter(job_id=job.pk)
            .order_by()
            .values_list("status")
            .annotate(count=Count("pk"))
        )
        found = [f"{counts[value]:,} {label}" for value, label in ImportChunk.Status.choices if value in counts]
        return ", ".join(found) or "–"

    @admin.display(description=_("file"))
    def source(self, job: ImportJob) -> str:
        """To the file's own page."""
        address = reverse(f"{self.admin_site.name}:rowmill_files_filemodel_change", args=[job.file_id])
        size = f"{job.source_size:,} B"
        return format_html('<a href="{}">{}</a> ({}, {})', address, job.file.file_name, job.file.purpose, size)

    @admin.display(description=_("options"))
    def options_as_text(self, job: ImportJob) -> str:
        """Readable JSON."""
        text = json.dumps(job.options, indent=2, ensure_ascii=False)
        return format_html('<pre style="margin: 0">{}</pre>', text)

    @admin.display(description=_("success file"))
    def success_result(self, job: ImportJob) -> str:
        """To the download."""
        return self._result(job, "success")

    @admin.display(description=_("failed file"))
    def failed_result(self, job: ImportJob) -> str:
        """To the download."""
        return self._result(job, "failed")

    @admin.display(description=_("unprocessed file"))
    def unprocessed_result(self, job: ImportJob) -> str:
        """To the download."""
        return self._result(job, "unprocessed")

    @admin.display(description=_("why rows failed"))
    def reasons(self, job: ImportJob) -> str:
        """The most frequent reasons, a line each."""
        found = services.errors_by_message(job).items()
        return format_html_join(mark_safe("<br>"), "{} × {}", ((text, f"{count:,}") for text, count in found)) or "–"

    def _result(self, job: ImportJob, kind: str) -> str:
        """An address of ours, not yet a link that is a right."""
        key = _result_key(job, kind)
        if not key:
            return display_for_value(None, self.get_empty_value_display())
        address = reverse(f"{self.admin_site.name}:rowmill_imports_importjob_result", args=[job.pk, kind])
        return format_html('<a href="{}">{}</a>', address, result_name(job, key))


def _result_key(job: ImportJob, kind: str) -> str:
    if not job.is_final:
        return ""  # those of an earlier end are about to be replaced
    return {"success": job.success_key, "failed": job.failed_key, "unprocessed": job.unprocessed_key}[kind]


def _share(processed_rows: int, total_rows: int | None) -> str:
    if total_rows is None:
        return f"{processed_rows:,}"
    share = f" ({100 * processed_rows // total_rows} %)" if total_rows else ""
    return f"{processed_rows:,} / {total_rows:,}{share}"

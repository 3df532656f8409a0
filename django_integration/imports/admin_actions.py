"""What the admin does with the jobs that are selected; those of which it makes no sense stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_integration.imports import refusals, retries, services
from django_integration.imports.models import ImportJob

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[ImportJob]
else:  # generic in the stubs only
    _ModelAdmin = admin.ModelAdmin

_UNFINISHED = (ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)


class JobActions(_ModelAdmin):
    """Cancel, pause, resume and retry."""

    @admin.action(description=_("Cancel selected import jobs"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> None:
        """Ask for the end of those that run."""

        def cancel(job: ImportJob) -> str:
            services.cancel(job)
            return gettext("Cancelled.")

        count = self._each(request, queryset.filter(status__in=_UNFINISHED), cancel)
        self._say(
            request,
            count,
            ngettext("%(count)d import job is cancelled.", "%(count)d import jobs are cancelled.", count),
        )

    @admin.action(description=_("Pause selected import jobs"), permissions=["cancel"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> None:
        """Have nothing further begin of those that run."""

        def pause(job: ImportJob) -> str:
            services.pause(job)
            return gettext("Paused.")

        count = self._each(request, queryset.filter(status__in=_UNFINISHED, paused=False), pause)
        self._say(
            request, count, ngettext("%(count)d import job is paused.", "%(count)d import jobs are paused.", count)
        )

    @admin.action(description=_("Resume selected import jobs"), permissions=["cancel"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> None:
        """Let paused jobs go on, and failed ones from where they stopped."""

        def resume(job: ImportJob) -> str:
            services.resume(job)
            return gettext("Resumed.")

        count = self._each(request, queryset.filter(Q(status=ImportJob.Status.FAILED) | Q(paused=True)), resume)
        self._say(request, count, ngettext("%(count)d import job goes on.", "%(count)d import jobs go on.", count))

    @admin.action(description=_("Retry failed rows of selected import jobs"), permissions=["cancel"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> None:
        """Start an import of the refused rows of each that has ended and has some."""

        def retry(job: ImportJob) -> str:
            return gettext("Failed rows retried by %(job)s.") % {"job": retries.retry(job).pk}

        count = self._each(request, queryset.filter(failure_count__gt=0), retry)
        self._say(
            request, count, ngettext("%(count)d import job is retried.", "%(count)d import jobs are retried.", count)
        )

    def _each(self, request: HttpRequest, jobs: Iterable[ImportJob], act: Callable[[ImportJob], str]) -> int:
        """Do it to each and note in its history what `act` says; returns how many.

        A job whose state does not allow it is left out, one that a quota forbids is told.
        """
        count = 0
        for job in jobs:
            try:
                note = act(job)
            except refusals.JobStateError:
                continue
            except refusals.RequestRefusedError as error:
                self.message_user(request, f"{job.pk}: {error.message}", messages.ERROR)
                continue
            self.log_change(request, job, note)
            count += 1
        return count

    def _say(self, request: HttpRequest, count: int, text: str) -> None:
        self.message_user(request, text % {"count": count}, messages.SUCCESS if count else messages.WARNING)

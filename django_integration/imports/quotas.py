"""What one user may have: exact also where requests come at the same moment.

Who counts holds the lock of the user until what was counted for is committed, so that requests of one user wait for
each other. SQLite has no row locks; its one writer does the same where transactions begin as IMMEDIATE (W030).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob
from django_integration.imports.refusals import RequestRefusedError


def lock(user_id: Any, *, has_key: bool = False) -> None:
    """Have other requests of the user wait until this transaction ends, if there is a quota to count for.

    Not the key of the user's row: what others insert may point at it meanwhile.

    Args:
        has_key: of the request, which MariaDB has no constraint for that another with the same one would break.
    """
    settings = import_settings()
    features = connections[settings.database].features
    has_quota = settings.max_running_jobs_per_user is not None or settings.max_bytes_per_user_per_day is not None
    if not has_quota and (features.supports_partial_indexes or not has_key):
        return
    users = get_user_model()._default_manager.using(settings.database).filter(pk=user_id)
    users.select_for_update(no_key=features.has_select_for_no_key_update).values_list("pk").first()


def check_running_jobs(user_id: Any) -> None:
    """Let a further job of the user pass; inside the transaction that makes it, at the end of which the lock goes.

    Raises:
        RequestRefusedError: as many run as are allowed.
    """
    running = import_settings().max_running_jobs_per_user
    if running is not None:
        lock(user_id)
        mine = ImportJob.objects.filter(created_by_id=user_id)
        unfinished = mine.filter(status__in=(ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)).count()
        if unfinished >= running:
            raise RequestRefusedError(
                "non_field_errors",
                ngettext(
                    "You have %(count)d import that has not ended; wait for it, or cancel it.",
                    "You have %(count)d imports that have not ended; wait for one, or cancel one.",
                    unfinished,
                )
                % {"count": unfinished},
                code="quota_jobs",
            )


def check(user_id: Any, file: FileModel) -> None:
    """Let an import of the file by the user pass. See `check_running_jobs`."""
    settings = import_settings()
    size = file.size or 0
    check_running_jobs(user_id)
    if settings.max_file_bytes_per_job is not None and size > settings.max_file_bytes_per_job:
        raise RequestRefusedError(
            "file_id",
            _("File %(id)s has %(size)s bytes; an import takes %(limit)s at most.")
            % {"id": file.pk, "size": size, "limit": settings.max_file_bytes_per_job},
            code="quota_bytes",
        )
    if settings.max_bytes_per_user_per_day is not None:
        since = timezone.now() - timedelta(days=1)
        mine = ImportJob.objects.filter(created_by_id=user_id)
        used = mine.filter(created_at__gte=since).aggregate(bytes=Sum("source_size"))["bytes"] or 0
        if used + size > settings.max_bytes_per_user_per_day:
            raise RequestRefusedError(
                "file_id",
                _("Your imports of the last 24 hours have %(used)s bytes of %(limit)s; this one has %(size)s.")
                % {"used": used, "size": size, "limit": settings.max_bytes_per_user_per_day},
                code="quota_bytes_per_day",
            )

"""Telling the project of a job's end: at least once, whatever dies between the commit of the end and its signal.

The row of a job that ends says by when somebody must have told of it. Whoever has told takes that out; what is
overdue is told by the workers' recovery, and by a sweep.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from django_integration.conf import import_settings
from django_integration.imports import signals
from django_integration.imports.models import ImportJob

logger = logging.getLogger(__name__)

#: Seconds that receivers may take in all; after these the end is told again, as their process may be gone.
PATIENCE_SECONDS = 60.0
#: Seconds after an end in which it is told again: a receiver that ends its process each time is not called for ever.
GIVEN_UP_SECONDS = 24 * 3600.0

_SIGNALS = {
    ImportJob.Status.SUCCEEDED.value: signals.import_finished,
    ImportJob.Status.FAILED.value: signals.import_failed,
    ImportJob.Status.CANCELLED.value: signals.import_cancelled,
}


def due_at(now: datetime) -> datetime:
    """By when somebody who begins to tell now must have done so."""
    return now + timedelta(seconds=PATIENCE_SECONDS)


def announce(job: ImportJob) -> None:
    """Send the signal of an ended job and note that; a receiver that raises is logged, and has been told."""
    signal = _SIGNALS.get(job.status)
    if signal is None:
        return
    for receiver, answer in signal.send_robust(sender=ImportJob, job=job):
        if isinstance(answer, Exception):
            facts = {"job_id": str(job.pk), "receiver": repr(receiver)}
            logger.error("signal receiver failed", extra=facts, exc_info=answer)
    try:
        # A job that was resumed meanwhile has, or will have, another end.
        _jobs().filter(pk=job.pk, finished_at=job.finished_at).update(announce_due_at=None)
    except DatabaseError:  # it is told again
        logger.warning("signal not noted", extra={"job_id": str(job.pk)}, exc_info=True)


def overdue() -> list[str]:
    """Ids of ended jobs whose signal nobody is known to have sent in time."""
    now = timezone.now()
    since = now - timedelta(seconds=GIVEN_UP_SECONDS)
    due = _jobs().filter(announce_due_at__lte=now, finished_at__gte=since)
    return [str(pk) for pk in due.order_by("announce_due_at").values_list("pk", flat=True)]


def announce_if_overdue(job_id: str) -> bool:
    """Send the signal of an ended job if that is overdue; of several callers at once one does, which is told."""
    now = timezone.now()
    claimed = _jobs().filter(pk=job_id, announce_due_at__lte=now).update(announce_due_at=due_at(now))
    job = _jobs().select_related("file", "created_by").filter(pk=job_id).first() if claimed else None
    if job is None:
        return False
    logger.warning("end of a job told late", extra={"job_id": job_id})
    announce(job)
    return True


def _jobs() -> QuerySet[ImportJob]:
    return ImportJob.objects.using(import_settings().database)

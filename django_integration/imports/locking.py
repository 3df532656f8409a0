"""The row of a job, locked until the transaction at hand ends."""

from __future__ import annotations

from django.db import connections

from django_integration.conf import import_settings
from django_integration.imports.models import ImportJob


def locked_job(job: ImportJob) -> ImportJob:
    """The job as it is now, with its file; who else would lock it waits. Of its row alone where the database can."""
    using = import_settings().database
    of = ("self",) if connections[using].features.has_select_for_update_of else ()
    return ImportJob.objects.using(using).select_related("file").select_for_update(of=of).get(pk=job.pk)

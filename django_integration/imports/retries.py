"""A new import of the rows that an earlier one refused, linked to it."""

from __future__ import annotations

import uuid
from functools import partial

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from django_integration.conf import file_settings, import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import engine_config
from django_integration.imports import bridge, quotas
from django_integration.imports.locking import locked_job
from django_integration.imports.models import ImportJob
from django_integration.imports.refusals import JobStateError
from django_integration.imports.result_records import engine_job
from engine.coordinator import check_refused_rows, retry_name, retry_options
from engine.errors import ObjectMissingError, StatusTransitionError


def retry(job: ImportJob) -> ImportJob:
    """Start an import of the refused rows, with the same handler and options, for the same user.

    The new job begins by copying them, without the column that says why, into a file of their own, so that this is
    soon done however many they are. While a retry of the job has not ended, a repeat gives that one.

    Raises:
        JobStateError: the job has not ended, refused no row, or its failed rows are not there any more.
        RequestRefusedError: a quota is used up.
    """
    using = import_settings().database
    with transaction.atomic(using=using):
        # Of two clicks the second waits here, and then finds the first one's job.
        job = locked_job(job)
        earlier = job.retries.filter(status__in=(ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)).first()
        if earlier is not None:
            return earlier
        quotas.check_running_jobs(job.created_by_id)
        file = _file_of_refused_rows(job)
        data = engine_job(job, now=timezone.now())
        made = ImportJob.objects.using(using).create(
            id=uuid.uuid4(),
            file=file,
            created_by_id=job.created_by_id,
            celery_task_id=str(uuid.uuid4()),
            handler_path=job.handler_path,
            handler_mode=job.handler_mode,
            options=retry_options(data),
            retry_of=job,
        )
        transaction.on_commit(partial(bridge.send_plan, str(made.id), made.celery_task_id), using=using)
    return made


def _file_of_refused_rows(job: ImportJob) -> FileModel:
    """The record of the file; the job writes the file itself, and notes its size and ETag."""
    try:
        check_refused_rows(engine_job(job, now=timezone.now()), bridge.process_parts().ledger, engine_config())
    except StatusTransitionError as error:
        raise JobStateError(_("The import has not ended, or has refused no row.")) from error
    except ObjectMissingError as error:
        raise JobStateError(_("The failed rows of the import are not there any more.")) from error
    key = f"{file_settings().upload_prefix}{job.file.purpose}/{uuid.uuid4()}.csv"
    return FileModel.objects.create(
        purpose=job.file.purpose,
        file_name=retry_name(job.file.file_name)[-255:],
        file_path=key,
        is_confirmed=True,
        confirmed_at=timezone.now(),
        uploaded_by_id=job.created_by_id,
        content_type="text/csv; charset=utf-8",
    )

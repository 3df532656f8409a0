"""Starting, finding and cancelling import jobs. Views translate; the engine works."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.imports import bridge, option_messages, quotas
from django_integration.imports.locking import locked_job
from django_integration.imports.models import ImportJob
from django_integration.imports.refusals import IdempotencyConflictError, JobStateError, RequestRefusedError
from engine.errors import OptionError, StatusTransitionError
from engine.handlers import HandlerMode
from engine.model import Counts
from engine.options import ImportOptions
from engine.report import percentage

User = AbstractBaseUser | AnonymousUser

MANAGE_PERMISSION = "rowmill_imports.manage_importjobs"
#: Rows of a chunk where the database is SQLite: its one writer should not keep others waiting for long.
_SQLITE_CHUNK_SIZE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What a start is made of."""

    user: User
    file_id: int
    options: Mapping[str, Any]
    handler_path: str
    """The view's choice."""
    view_handlers: Sequence[str] = ()
    """Other handlers that the view names, which `options.handler_path` may choose."""
    handler_mode: HandlerMode = "row"
    """"batch" where the view's choice is a batch handler, whether it declares itself one or not."""
    purposes: Sequence[str] | None = None
    """Purposes that the view takes; None for any."""
    idempotency_key: str | None = None


def start(request: StartRequest, *, send: Callable[[str, str], None] | None = None) -> tuple[ImportJob, bool]:
    """Check a request and write a queued job; its first message goes out once the transaction is committed.

    Args:
        send: takes the job's id and its Celery task's in place of `bridge.send_plan`.

    Returns:
        The job, and whether this call made it: a repeat under the same idempotency key gives the first one's.

    Raises:
        RequestRefusedError: the file or an option is not acceptable, or a quota is used up.
        IdempotencyConflictError: see there.
    """
    file = _importable_file(request)
    options = checked_options(request.options, request.handler_mode)
    handler_path = _allowed_handler(request, options)
    handler_mode = request.handler_mode if handler_path == request.handler_path else "row"
    digest = _digest(request, options, handler_path)
    earlier = _earlier(request, digest)
    if earlier is not None:
        return earlier, False
    job = ImportJob(
        id=uuid.uuid4(),
        file=file,
        created_by_id=request.user.pk,
        celery_task_id=str(uuid.uuid4()),
        handler_path=handler_path,
        handler_mode=handler_mode,
        options=options.for_handler(),
        source_size=file.size or 0,
        source_etag=file.etag,
        idempotency_key=request.idempotency_key,
        request_digest=digest,
    )
    using = import_settings().database
    with transaction.atomic(using=using):
        quotas.lock(request.user.pk, has_key=bool(request.idempotency_key))
        # While this waited, a repeat of the request may have made the job.
        earlier = _earlier(request, digest)
        if earlier is not None:
            return earlier, False
        quotas.check(request.user.pk, file)
        try:
            with transaction.atomic(using=using):
                job.save(using=using, force_insert=True)
        except IntegrityError:
            # Another request with the same key was quicker.
            earlier = _earlier(request, digest)
            if earlier is None:
                raise
            return earlier, False
    first_message = partial(send or bridge.send_plan, str(job.id), job.celery_task_id)
    transaction.on_commit(first_message, using=using)
    return job, True


def checked_options(given: Mapping[str, Any], handler_mode: HandlerMode = "row") -> ImportOptions:
    """The import options of a request, with the project's defaults. Raises RequestRefusedError.

    `IMPORT_DEFAULT_BATCH_SIZE` is the step of progress in row mode; batches for a batch handler are larger.
    """
    settings = import_settings()
    defaults: dict[str, Any] = {"batch_size": settings.default_batch_size, **ImportOptions.defaults_for(handler_mode)}
    chunk_size = settings.default_chunk_size
    if chunk_size is None and connections[settings.database].vendor == "sqlite":
        chunk_size = _SQLITE_CHUNK_SIZE
    if chunk_size is not None:
        defaults["chunk_size"] = chunk_size
    try:
        return ImportOptions.from_mapping({**defaults, **given})
    except OptionError as error:
        raise RequestRefusedError("options", option_messages.told(error), option=error.facts.get("option")) from error


def cancel(job: ImportJob) -> ImportJob:
    """Ask for the end of a job; repeating it, or cancelling one that has ended, changes nothing."""
    bridge.process_parts().coordinator.cancel(str(job.id))
    job.refresh_from_db()
    return job


def pause(job: ImportJob) -> ImportJob:
    """Have no further chunk of a job begin until it is resumed; repeating it is harmless.

    Raises:
        JobStateError: the job has ended.
    """
    try:
        bridge.process_parts().coordinator.pause(str(job.id))
    except StatusTransitionError as error:
        raise JobStateError(_("The import has ended; it cannot be paused.")) from error
    job.refresh_from_db()
    return job


def resume(job: ImportJob) -> ImportJob:
    """Let a paused job go on, and a failed one from where it stopped; one that runs stays as it is.

    Raises:
        JobStateError: the job has succeeded or was cancelled.
        RequestRefusedError: the user of a failed job has as many running ones as are allowed.
    """
    using = import_settings().database
    with transaction.atomic(using=using):
        # Locked, so that no sweep of its parts begins meanwhile.
        locked = locked_job(job)
        if locked.status == ImportJob.Status.FAILED:
            quotas.check_running_jobs(locked.created_by_id)
        if locked.status == ImportJob.Status.FAILED and locked.sweep:
            raise JobStateError(_("The import failed too long ago; what it had done is not there any more."))
        try:
            bridge.process_parts().coordinator.resume(str(job.id))
        except StatusTransitionError as error:
            raise JobStateError(_("The import has ended; it cannot be resumed.")) from error
        transaction.on_commit(partial(bridge.look_after, str(job.id)), using=using)
    job.refresh_from_db()
    return job


def errors_by_message(job: ImportJob) -> Mapping[str, int]:
    """Why rows were refused, of the chunks that are through."""
    return bridge.process_parts().ledger.messages(str(job.pk))


def may_manage(user: User) -> bool:
    """Whether the user may see and cancel everybody's jobs; a user model without permissions may not."""
    has_permission = getattr(user, "has_perm", None)
    return bool(user.is_authenticated and has_permission and has_permission(MANAGE_PERMISSION))


def visible_jobs(user: User) -> QuerySet[ImportJob]:
    """The jobs that a user may see and cancel: their own, or everybody's by permission."""
    jobs = ImportJob.objects.select_related("file", "success_file", "failed_file", "unprocessed_file")
    if may_manage(user):
        return jobs
    return jobs.filter(created_by_id=user.pk) if user.is_authenticated else jobs.none()


def visible_job(user: User, job_id: str) -> ImportJob:
    """One of these jobs. Raises Http404 for any other, and for what is no id."""
    try:
        return get_object_or_404(visible_jobs(user), pk=uuid.UUID(job_id))
    except ValueError:
        raise Http404 from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveProgress:
    """How far a job is at this moment."""

    total_rows: int | None
    counts: Counts
    percentage: float | None


def live_progress(job: ImportJob) -> LiveProgress:
    """From the live counters while the job runs; from its row when it has ended, or Redis is away."""
    total, counts = job.total_rows, Counts(success_count=job.success_count, failure_count=job.failure_count)
    is_final = job.is_final
    snapshot = None if is_final else bridge.live_snapshot(str(job.id))
    if snapshot is not None:
        counts = snapshot.counts
        total = total if snapshot.total_rows is None else snapshot.total_rows
    return LiveProgress(
        total_rows=total, counts=counts, percentage=percentage(total, counts.processed_rows, is_final=is_final)
    )


def running_status(user: User, task_id: str) -> dict[str, Any] | None:
    """The body of the status response without a look at the database, for a running job that was asked for before.

    None where only the database can tell. Raises Http404 where the job is another user's.
    """
    found = bridge.process_parts().statuses.find(task_id)
    if found is None:
        return None
    body, counts = found.body, found.snapshot.counts
    # Permissions are rows too: one's own job needs none.
    if str(body["created_by_id"]) != str(user.pk) and not may_manage(user):
        raise Http404
    total = body["total_rows"] if found.snapshot.total_rows is None else found.snapshot.total_rows
    return {
        **body,
        "total_rows": total,
        "processed_rows": counts.processed_rows,
        "success_count": counts.success_count,
        "failure_count": counts.failure_count,
        "percentage": percentage(total, counts.processed_rows, is_final=False),
    }


def keep_status(job: ImportJob, body: Mapping[str, Any]) -> None:
    """Have `running_status` give this body from now on, as long as the job runs."""
    if job.status == ImportJob.Status.RUNNING:
        bridge.process_parts().statuses.keep(str(job.pk), job.celery_task_id, body)


def _importable_file(request: StartRequest) -> FileModel:
    files = FileModel.objects.all()
    user = request.user
    if not may_manage(user):
        files = files.filter(uploaded_by_id=user.pk)
    file = files.filter(pk=request.file_id).first()
    if file is None:
        raise RequestRefusedError("file_id", _("There is no file %(id)s.") % {"id": request.file_id}, code="not_found")
    if not file.is_confirmed:
        raise RequestRefusedError(
            "file_id",
            _("File %(id)s is not confirmed. Upload and confirm it first.") % {"id": file.pk},
            code="unconfirmed",
        )
    if request.purposes is not None and file.purpose not in request.purposes:
        raise RequestRefusedError(
            "file_id",
            _('File %(id)s was uploaded for "%(purpose)s"; this import takes: %(allowed)s.')
            % {"id": file.pk, "purpose": file.purpose, "allowed": ", ".join(request.purposes)},
            code="wrong_purpose",
        )
    return file


def _allowed_handler(request: StartRequest, options: ImportOptions) -> str:
    wanted = options.handler_path
    if wanted is None or wanted == request.handler_path:
        return request.handler_path
    if wanted in request.view_handlers or wanted in import_settings().allowed_handlers:
        return wanted
    raise RequestRefusedError(
        "options", _("handler_path does not name a handler that may be used here."), option="handler_path"
    )


def _digest(request: StartRequest, options: ImportOptions, handler_path: str) -> str:
    text = json.dumps([request.file_id, options.for_handler(), handler_path], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _earlier(request: StartRequest, digest: str) -> ImportJob | None:
    if not request.idempotency_key:
        return None
    job = ImportJob.objects.filter(created_by_id=request.user.pk, idempotency_key=request.idempotency_key).first()
    if job is not None and job.request_digest != digest:
        raise IdempotencyConflictError
    return job


def committed_failures(job: ImportJob) -> int:
    """Refused rows of the chunks that are through."""
    return bridge.process_parts().ledger.counts(str(job.pk)).failure_count

"""Removing what nobody needs any more from the storage: parts, uploads that were given up, results past their time.

Safe anywhere, at any time, several at once: what a running job has is left alone, and every step can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from django_integration.conf import file_settings, import_settings
from django_integration.files.models import FileModel
from django_integration.files.services import remove_unconfirmed
from django_integration.files.storage import RowmillError, engine_config, file_storage
from django_integration.imports import announcing
from django_integration.imports.ledger import DjangoLedger
from django_integration.imports.models import ImportJob
from django_integration.imports.result_records import engine_job
from engine.coordinator import WORKSPACE, workspace_keys
from engine.storage import open_storage

logger = logging.getLogger(__name__)

#: An upload or a merge of this age has been given up; links for uploads live for minutes.
_UNFINISHED_SECONDS = 24 * 3600.0
_KINDS = ("success", "failed", "unprocessed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was removed, or would be."""

    parts: int = 0
    """Parts and staged copies of ended jobs."""
    unknown_parts: int = 0
    """Parts and staged copies of jobs that the database does not hold, a day after they were written."""
    result_files: int = 0
    """Result files past IMPORT_RESULT_RETENTION_DAYS."""
    unconfirmed_files: int = 0
    """Uploads past FILES_UNCONFIRMED_RETENTION_DAYS, with their records."""
    unfinished_uploads: int = 0
    """What killed processes and clients have left half written."""
    untold_ends: int = 0
    """Ended jobs whose signal the process that ended them did not live to send; it is sent."""


def sweep(*, dry_run: bool = False) -> Swept:
    """Remove what can go; a storage that does not answer, or refuses, is logged, and tried again the next time.

    Args:
        dry_run: change nothing, and only count.
    """
    swept = Swept(
        result_files=_sweep_results(dry_run=dry_run),
        parts=_sweep_parts(dry_run=dry_run),
        unknown_parts=_sweep_unknown(dry_run=dry_run),
        unconfirmed_files=_sweep_unconfirmed(dry_run=dry_run),
        unfinished_uploads=_sweep_unfinished(dry_run=dry_run),
        untold_ends=_tell_of_ends(dry_run=dry_run),
    )
    logger.info("swept", extra={"dry_run": dry_run, **{name: getattr(swept, name) for name in Swept.__slots__}})
    return swept


def _tell_of_ends(*, dry_run: bool) -> int:
    overdue = announcing.overdue()
    return len(overdue) if dry_run else sum(map(announcing.announce_if_overdue, overdue))


def _sweep_parts(*, dry_run: bool) -> int:
    """Of jobs that succeeded or were cancelled at once; of failed ones, which could be resumed, after their time."""
    can_go = Q(status__in=(ImportJob.Status.SUCCEEDED, ImportJob.Status.CANCELLED))
    days = import_settings().failed_parts_retention_days
    if days is not None:
        can_go |= Q(status=ImportJob.Status.FAILED, finished_at__lt=_before(days))
    # What a sweep has begun with is brought to an end, whatever the settings are by now.
    can_go |= Q(status=ImportJob.Status.FAILED, sweep=ImportJob.Sweep.BEGUN)
    unswept = _jobs().exclude(sweep=ImportJob.Sweep.DONE).filter(can_go)
    return sum(_remove_parts(job, keeps_failed=True, dry_run=dry_run) for job in unswept.iterator(chunk_size=500))


def _remove_parts(job: ImportJob, *, keeps_failed: bool, dry_run: bool) -> int:
    if not dry_run and not _fence(job):
        return 0
    config = engine_config()
    data = engine_job(job, now=timezone.now())
    try:
        keys = workspace_keys(data, DjangoLedger(), replace(config, keep_failed_parts=keeps_failed))
        if not dry_run:
            open_storage(data.workspace_url, config).delete(keys)
    except RowmillError as error:
        logger.warning("parts not swept", extra={"job_id": str(job.pk), "error_code": error.code})
        return 0
    if not dry_run:
        _jobs().filter(pk=job.pk).update(sweep=ImportJob.Sweep.DONE)
    return len(keys)


def _fence(job: ImportJob) -> bool:
    """Whether the job has ended for good; one that has failed cannot be resumed from now on."""
    if job.status != ImportJob.Status.FAILED:
        return True
    still = _jobs().filter(pk=job.pk, status=ImportJob.Status.FAILED)
    return bool(still.filter(sweep="").update(sweep=ImportJob.Sweep.BEGUN)) or still.exclude(sweep="").exists()


def _sweep_unknown(*, dry_run: bool) -> int:
    """Workspaces of jobs whose rows were deleted. What a running job has written is younger, and its row is there."""
    prefix, before = import_settings().s3_prefix, timezone.now() - timedelta(seconds=_UNFINISHED_SECONDS)
    found: dict[UUID, list[str]] = {}
    try:
        for info in file_storage().list(prefix):
            name, _, rest = info.key.removeprefix(prefix).partition("/")
            is_old = info.written_at is not None and info.written_at < before
            if is_old and rest.startswith(f"{WORKSPACE}/") and (job_id := _uuid(name)) is not None:
                found.setdefault(job_id, []).append(info.key)
        # Asked after the listing: a job that is written meanwhile is none of these.
        ids = list(found)
        for start in range(0, len(ids), 500):
            for known in _jobs().filter(pk__in=ids[start : start + 500]).values_list("pk", flat=True):
                del found[known]
        keys = [key for each in found.values() for key in each]
        if not dry_run:
            file_storage().delete(keys)
    except RowmillError as error:
        logger.warning("parts of unknown jobs not swept", extra={"prefix": prefix, "error_code": error.code})
        return 0
    return len(keys)


def _sweep_results(*, dry_run: bool) -> int:
    days = import_settings().result_retention_days
    if days is None:
        return 0
    old = _jobs().filter(_ended(), finished_at__lt=_before(days))
    old = old.exclude(success_key="", failed_key="", unprocessed_key="").order_by("pk")
    return sum(_remove_results(job, dry_run=dry_run) for job in old.iterator(chunk_size=500))


def _remove_results(job: ImportJob, *, dry_run: bool) -> int:
    """The result files of one job but those that another job imports."""
    keys = {kind: getattr(job, f"{kind}_key") for kind in _KINDS if getattr(job, f"{kind}_key")}
    imported = FileModel.objects.filter(file_path__in=keys.values(), import_jobs__isnull=False)
    sources = set(imported.values_list("file_path", flat=True))
    keys = {kind: key for kind, key in keys.items() if key not in sources}
    if dry_run or not keys or not _fence(job):
        return len(keys) if dry_run else 0
    try:
        file_storage().delete(keys.values())
    except RowmillError as error:
        logger.warning("results not swept", extra={"job_id": str(job.pk), "error_code": error.code})
        return 0
    with transaction.atomic(using=import_settings().database):
        FileModel.objects.filter(file_path__in=keys.values()).delete()
        _jobs().filter(pk=job.pk).update(**{f"{kind}_key": "" for kind in keys})
    # With the failed file go the failed parts that stand in for an Excel file.
    _remove_parts(job, keeps_failed="failed" not in keys, dry_run=False)
    return len(keys)


def _sweep_unconfirmed(*, dry_run: bool) -> int:
    days = file_settings().unconfirmed_retention_days
    if days is None:
        return 0
    files = FileModel.objects.filter(is_confirmed=False, created_at__lt=_before(days))
    return files.count() if dry_run else remove_unconfirmed(files)


def _sweep_unfinished(*, dry_run: bool) -> int:
    """Below the prefixes of uploads and results; not of files that wait for their upload, nor of running jobs."""
    prefix = import_settings().s3_prefix
    running = {str(pk) for pk in _jobs().exclude(_ended()).values_list("pk", flat=True)}
    waiting = set(FileModel.objects.filter(is_confirmed=False).values_list("file_path", flat=True))
    rules: dict[str, Callable[[str], bool]] = {
        prefix: lambda key: key.removeprefix(prefix).partition("/")[0] in running,
        file_settings().upload_prefix: lambda key: key in waiting,
    }
    count = 0
    for each, keep in rules.items():
        try:
            removed = file_storage().remove_unfinished(
                each, older_than_seconds=_UNFINISHED_SECONDS, keep=keep, dry_run=dry_run
            )
        except RowmillError as error:
            logger.warning("unfinished uploads not swept", extra={"prefix": each, "error_code": error.code})
            continue
        count += len(removed)
    return count


def _jobs() -> QuerySet[ImportJob]:
    return ImportJob.objects.using(import_settings().database).select_related("file")


def _ended() -> Q:
    return ~Q(status__in=(ImportJob.Status.QUEUED, ImportJob.Status.RUNNING))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _before(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)

"""Between the rows of `ImportJob` and the engine's `Job`, and the file records of results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from django_integration.conf import import_settings, storage_root
from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob
from django_integration.imports.moments import exact, kept
from engine.coordinator import WORKSPACE
from engine.ledger.records import plan_from_json
from engine.model import Counts, Job, ResultFiles, Source
from engine.status import Phase, Status
from engine.storage import join_url

#: Purpose of the file records of results.
RESULT_PURPOSE = "import_result"


def engine_job(row: ImportJob, *, now: datetime) -> Job:
    """The job as the engine sees it; its source is the file's object, its output a folder of its own."""
    root = storage_root()
    output_url = join_url(root, *_names(import_settings().s3_prefix), str(row.id))
    heartbeat_at = row.heartbeat_at or row.created_at
    return Job(
        job_id=str(row.id),
        source=Source(
            url=join_url(root, *_names(row.file.file_path)), size_bytes=row.source_size, etag=row.source_etag
        ),
        handler_path=row.handler_path,
        handler_mode="batch" if row.handler_mode == "batch" else "row",
        options=row.options,
        output_url=output_url,
        workspace_url=join_url(output_url, WORKSPACE),
        status=Status(row.status),
        phase=Phase(row.phase) if row.phase else None,
        plan=plan_from_json(json.dumps(row.plan)) if row.plan else None,
        total_rows=row.total_rows,
        created_at=exact(row.created_at),
        started_at=exact(row.started_at),
        finished_at=exact(row.finished_at),
        cancel_requested=row.cancel_requested,
        paused=row.paused,
        counts=Counts(success_count=row.success_count, failure_count=row.failure_count),
        result_files=ResultFiles(
            success_url=join_url(root, *_names(row.success_key)) if row.success_key else None,
            failed_url=join_url(root, *_names(row.failed_key)) if row.failed_key else None,
            unprocessed_url=join_url(root, *_names(row.unprocessed_key)) if row.unprocessed_key else None,
        ),
        forgiven=Counts(success_count=row.forgiven_success, failure_count=row.forgiven_failure),
        retry_of=str(row.retry_of_id) if row.retry_of_id else None,
        error_code=row.error_code or None,
        error_message=row.error_message or None,
        owner=row.owner,
        seconds_since_heartbeat=max(0.0, (now - heartbeat_at).total_seconds()),
    )


def apply_changes(row: ImportJob, changes: Mapping[str, Any], *, using: str) -> None:
    """Write what `Ledger.move_job` may change into the row; not saved. Raises KeyError for anything else."""
    for name, value in changes.items():
        match name, value:
            case "total_rows", _:
                row.total_rows = value
            case (("started_at" | "finished_at"), _):
                setattr(row, name, value and kept(value))
            case "error_code", _:
                row.error_code = value or ""
            case "error_message", _:
                row.error_message = told_to_users(row.file, value or "")
            case "counts", Counts():
                row.success_count = value.success_count
                row.failure_count = value.failure_count
                row.processed_rows = value.processed_rows
            case "forgiven", Counts():
                row.forgiven_success = value.success_count
                row.forgiven_failure = value.failure_count
            case "result_files", ResultFiles():
                _record_results(row, value, using=using)
            case _:
                raise KeyError(f"{name} of a job cannot be changed by move_job")


def told_to_users(file: FileModel, message: str) -> str:
    """The engine's message without the server's places: a source is called by its name, other objects by their keys."""
    root = storage_root()
    return message.replace(join_url(root, *_names(file.file_path)), file.file_name).replace(root.rstrip("/") + "/", "")


def _record_results(row: ImportJob, files: ResultFiles, *, using: str) -> None:
    """Note the result files, and make file records of them where the request asked for it.

    In the transaction that ends the job, so that a job that has succeeded always has them; a merge
    that is repeated finds the records of the first time. A file that an earlier end of the job has left
    and this one has not loses its record, unless another job imports it.
    """
    root = storage_root().rstrip("/") + "/"
    wanted = bool(row.options.get("create_result_file_records", True))
    for kind, url in (
        ("success", files.success_url),
        ("failed", files.failed_url),
        ("unprocessed", files.unprocessed_url),
    ):
        key = url.removeprefix(root) if url else ""
        setattr(row, f"{kind}_key", key)
        if not key:
            left: FileModel | None = getattr(row, f"{kind}_file")
            setattr(row, f"{kind}_file", None)
            if left is not None:
                with suppress(ProtectedError), transaction.atomic(using=using):
                    left.delete(using=using)
        if not key or not wanted:
            continue
        record, _ = FileModel.objects.using(using).get_or_create(
            file_path=key,
            defaults={
                "purpose": RESULT_PURPOSE,
                "file_name": result_name(row, key),
                "is_confirmed": True,
                "confirmed_at": timezone.now(),
                "uploaded_by": row.created_by,
                "content_type": _content_type(key),
            },
        )
        setattr(row, f"{kind}_file", record)


def result_name(row: ImportJob, key: str) -> str:
    """What a user's browser is to call a result file: the upload's name, then `.success`, `.failed` or such."""
    stem = row.file.file_name.rpartition(".")[0] or row.file.file_name
    kind_and_ending = ".".join(key.rpartition("/")[2].rsplit(".", 2)[-2:])
    return f"{stem[:200]}.{kind_and_ending}"


def _content_type(key: str) -> str:
    if key.endswith(".xlsx"):
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return "text/csv; charset=utf-8"


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]

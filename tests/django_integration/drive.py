"""What a forked process of the tests' project does on a real database: make a job, wait for its end, tell of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

#: Of a pause: several rounds of recovery, which would send again what it takes for lost.
_PAUSE_SECONDS = 3.0
_PATIENCE_SECONDS = 60.0


def get(path: str) -> Any:
    """What staff is answered, and how many seconds that took."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    staff, _ = User.objects.get_or_create(username="staff", defaults={"is_staff": True})
    client = APIClient()
    client.force_authenticate(staff)
    began = time.monotonic()
    answer = client.get(path)
    return {"status": answer.status_code, "text": answer.content.decode(), "seconds": time.monotonic() - began}


def import_file(
    path: str,
    handler: str,
    options: dict[str, Any],
    timeout_seconds: float,
    cancel_at: int | None,
    pause_at: int | None = None,
) -> Any:
    """Import a file of the media folder; what its job, its rows in the database and its files say at the end."""
    from django.contrib.auth.models import User
    from django.db import transaction

    from django_integration.files.models import FileModel
    from django_integration.imports import services
    from django_integration.imports.models import ImportJob
    from tests.django_integration.myapp.models import SeenRow

    user, _ = User.objects.get_or_create(username="driver")
    file, _ = FileModel.objects.get_or_create(
        file_path=path, defaults={"purpose": "test", "file_name": "t.csv", "is_confirmed": True, "uploaded_by": user}
    )
    with transaction.atomic():
        job, _ = services.start(
            services.StartRequest(
                user=user,
                file_id=file.pk,
                options=options,
                handler_path=f"tests.django_integration.myapp.handlers.{handler}",
            )
        )
    held: Any = None
    seen, deadline = [], time.monotonic() + timeout_seconds
    while job.status in (ImportJob.Status.QUEUED, ImportJob.Status.RUNNING) and time.monotonic() < deadline:
        progress = services.live_progress(job)
        seen.append([progress.counts.processed_rows, job.processed_rows])
        if cancel_at is not None and progress.counts.processed_rows >= cancel_at and not job.cancel_requested:
            services.cancel(job)
            open_gate(options)
        if pause_at is not None and held is None and progress.counts.processed_rows >= pause_at:
            held = hold(job, options)
        time.sleep(0.05)
        job.refresh_from_db()
    rows = SeenRow.objects.filter(job=str(job.pk)).order_by("row_index").values_list("row_index", flat=True)
    return {
        "status": job.status,
        "error": job.error_message,
        "total_rows": job.total_rows,
        "success_count": job.success_count,
        "failure_count": job.failure_count,
        "seen": seen,
        "held": held,
        "attempts": list(job.chunks.order_by("chunk_index").values_list("attempt", flat=True)),
        "written_rows": list(rows),
        "files": [_text_of(key) if key else None for key in (job.success_key, job.failed_key)],
    }


def _text_of(key: str) -> str:
    from django_integration.files.storage import file_storage

    storage = file_storage()
    size = storage.stat(key).size_bytes
    return b"".join(storage.read_blocks(key, 0, size, block_bytes=1024 * 1024)).decode()


def open_gate(options: dict[str, Any]) -> None:
    """Let the rows go on that wait for the driver (see the handler `write_slowly`)."""
    if "gate" in options:
        Path(options["gate"]).touch()


def hold(job: Any, options: dict[str, Any]) -> Any:
    """Pause a job by its address, look at it twice once nothing is in hand any more, and let it go on."""
    from rest_framework.test import APIClient

    from tests.django_integration.myapp.models import SeenRow

    client = APIClient()
    client.force_authenticate(job.created_by)

    def look() -> Any:
        status = client.get(f"/api/import/status/?task_id={job.pk}").json()
        states = sorted(job.chunks.values_list("chunk_index", "status", "attempt"))
        return [status["processed_rows"], SeenRow.objects.filter(job=str(job.pk)).count(), states]

    paused = client.post(f"/api/imports/{job.pk}/pause/")
    open_gate(options)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while job.chunks.filter(status="leased").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    before = look()
    time.sleep(_PAUSE_SECONDS)
    after = look()
    resumed = client.post(f"/api/imports/{job.pk}/resume/")
    return {"codes": [paused.status_code, resumed.status_code], "before": before, "after": after}

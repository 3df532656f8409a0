"""What a forked process of the tests' project does: start a job, work on it to its end, tell what became of it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from engine.errors import LedgerError, LedgerUnavailableError
from engine.ledger import Ledger
from tests.django_integration.drive import get, import_file

#: Seconds after which a worker gives up.
_PATIENCE_SECONDS = 60.0


def migrate() -> None:
    """Make the tables."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)


def start(
    path: str, handler: str, options: dict[str, Any], *, jobs: int = 1, user: str | None = None, key: str | None = None
) -> list[str]:
    """Write queued jobs over a stored file, as requests do; nobody is told.

    Args:
        user: who asks; by default somebody new for every job.
        key: the Idempotency-Key of the request.
    """
    from django.contrib.auth.models import User
    from django.db import transaction

    from django_integration.files.models import FileModel
    from django_integration.imports import services

    file, _ = FileModel.objects.get_or_create(
        file_path=path, defaults={"purpose": "test", "file_name": "in.csv", "is_confirmed": True}
    )
    handler_path = f"tests.django_integration.myapp.handlers.{handler}"
    made = []
    for _ in range(jobs):
        asking, _ = User.objects.get_or_create(username=user or secrets.token_hex(8), defaults={"is_superuser": True})
        request = services.StartRequest(
            user=asking, file_id=file.pk, options=options, handler_path=handler_path, idempotency_key=key
        )
        with transaction.atomic():
            job, _ = services.start(request, send=lambda *_: None)
        made.append(str(job.pk))
    return made


def post(user: str, file_id: int, at: float) -> int:
    """Import a file by a request of that user, through every layer of Django, at that moment; returns the status."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(User.objects.get(username=user))
    time.sleep(max(0.0, at - time.time()))
    return int(client.post("/api/dynamic/import/", {"file_id": file_id}).status_code)


def count_jobs(user: str) -> dict[str, int]:
    """How many jobs a user has, and the id of the file of the newest."""
    from django_integration.imports.models import ImportJob

    found = ImportJob.objects.filter(created_by__username=user)
    return {"jobs": found.count(), "file_id": found.latest("created_at").file_id}


class Messages:
    """An executor whose messages wait in this process, and are lost with it."""

    def __init__(self, *, lose_every: int | None = None, copies: int = 1) -> None:
        """
        Args:
            lose_every: of so many messages one never arrives.
            copies: how often each of the others does.
        """
        self.waiting: list[tuple[Any, ...]] = []
        self._lose_every = lose_every
        self._copies = copies
        self._sent = 0

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        for index in chunk_indexes:
            self._send("chunk", job_id, index)

    def send_plan(self, job_id: str) -> None:
        self._send("plan", job_id)

    def send_finish(self, job_id: str) -> None:
        self._send("finish", job_id)

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Nobody else is here to help."""

    def _send(self, *message: Any) -> None:
        self._sent += 1
        if self._lose_every is None or self._sent % self._lose_every:
            self.waiting += [message] * self._copies


def work(job_id: str, *, resume: bool = False, **messages_go: Any) -> None:
    """Be a worker that does whatever there is to do for a job, until it has ended.

    Args:
        resume: let the job go on when it has failed.
        messages_go: see `Messages`.
    """
    from django.db import close_old_connections

    from django_integration.imports import bridge, signals
    from engine.chunk_runner import ChunkRunner
    from engine.coordinator import Coordinator, bundling
    from engine.ledger.owner import this_process
    from engine.runtime.job_steps import JobSteps

    signals.import_finished.connect(_note_end)
    if "TEST_PIECE_BYTES" in os.environ:
        _make_pieces_small(int(os.environ["TEST_PIECE_BYTES"]))
    parts, messages = bridge.process_parts(), Messages(**messages_go)
    if "TEST_GROUP_BYTES" in os.environ:
        bundling.GROUP_BYTES = int(os.environ["TEST_GROUP_BYTES"])
    costs, coordinator = None, parts.coordinator
    if "TEST_FIRST_CHUNK" in os.environ:
        costs = _know_nothing_of_handlers(int(os.environ["TEST_FIRST_CHUNK"]))
        listener = bridge.SignalListener(parts.statuses)
        coordinator = Coordinator(
            parts.ledger, parts.progress, parts.config, owner=this_process(), listener=listener, costs=costs
        )
    runner = ChunkRunner(parts.ledger, parts.progress, parts.config, owner=this_process(), costs=costs)
    steps = JobSteps(coordinator, runner, messages)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _is_over(parts.ledger, job_id, resume=resume):
        close_old_connections()  # as Celery does between two tasks
        if resume and parts.ledger.job(job_id).status == "failed":
            coordinator.resume(job_id)
            resume = False
        if not messages.waiting:
            with suppress(LedgerError):
                coordinator.recover(job_id, messages)
        if not messages.waiting:
            time.sleep(0.2)
        if time.monotonic() > deadline:
            raise TimeoutError(str(parts.ledger.job(job_id)))
        while messages.waiting:
            step, *arguments = messages.waiting.pop(0)
            getattr(steps, step)(*arguments)


def _note_end(job: Any, **_: Any) -> None:
    """A receiver of the end of a job: a record of row 0 for each time it is told."""
    from tests.django_integration.myapp.models import SeenRow

    SeenRow.objects.create(job=str(job.pk), row_index=0)


def tell_late() -> None:
    """Do what recovery does about ends that nobody has told of, as if their time were over."""
    from django.utils import timezone

    from django_integration.imports import bridge, signals
    from django_integration.imports.models import ImportJob

    signals.import_finished.connect(_note_end)
    ImportJob.objects.exclude(announce_due_at=None).update(announce_due_at=timezone.now())
    parts = bridge.process_parts()
    parts.executor = messages = Messages()  # type: ignore[assignment]
    bridge.recover_all()
    for step, job_id in messages.waiting:
        assert step == "finish"
        bridge.finish(job_id)


def _make_pieces_small(piece_bytes: int) -> None:
    """Have a few hundred bytes go to S3 as tens of megabytes do: streamed, in pieces, copied by the server."""
    from engine.results import parts as part_files
    from engine.storage import multipart, s3, s3_upload

    limits = multipart.MultipartLimits(minimum_piece_bytes=piece_bytes, join_bytes=piece_bytes)
    s3.plan_pieces = partial(multipart.plan_pieces, limits=limits)  # type: ignore[assignment]
    s3_upload.next_piece_bytes = partial(multipart.next_piece_bytes, limits=limits)  # type: ignore[assignment]
    part_files.PartWriter.__init__.__kwdefaults__["max_held_bytes"] = piece_bytes


def _know_nothing_of_handlers(chunk_rows: int) -> Any:
    """Have this process learn from its first chunk what rows cost, whatever others know; and that be a large one."""
    from engine import chunk_sizes
    from engine.chunk_runner import runner

    class Costs:
        seconds: float | None = None

        def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
            self.seconds = seconds / rows

        def seconds_per_row(self, handler: str) -> float | None:
            return self.seconds

    chunk_sizes.UNKNOWN_ROWS["row"] = chunk_rows
    runner._TELLING_ROWS = 1
    return Costs()


def unfinished(*, remove: bool) -> list[str]:
    """Keys of the multipart uploads that were neither completed nor aborted, and remove them as a sweep does later."""
    from django_integration.conf import storage_root
    from django_integration.files.storage import engine_config
    from engine.storage import open_storage

    storage = open_storage(storage_root(), engine_config())
    return list(storage.remove_unfinished("", older_than_seconds=0.0, dry_run=not remove))


def cancel(job_id: str, after_seconds: float) -> None:
    """Cancel a job twice, as an impatient user does."""
    from django_integration.imports import services
    from django_integration.imports.models import ImportJob

    time.sleep(after_seconds)
    for _ in range(2):
        services.cancel(ImportJob.objects.get(pk=job_id))


def _is_over(ledger: Ledger, job_id: str, *, resume: bool) -> bool:
    try:
        status = ledger.job(job_id).status
        return status.is_final and not (resume and status == "failed")
    except LedgerUnavailableError:
        return False


def tell(job_ids: list[str]) -> list[dict[str, Any]]:
    """The jobs' ends: their status and counts, the rows that the handler wrote, their files."""
    from django_integration.conf import storage_root
    from django_integration.files.storage import engine_config
    from django_integration.imports import bridge
    from django_integration.imports.models import ImportJob
    from engine.storage import open_storage
    from tests.django_integration.myapp.models import SeenRow

    storage = open_storage(storage_root(), engine_config())

    def text_of(key: str) -> str:
        # Any bytes pass: an Excel file, too.
        return storage.read_range(key, 0, storage.stat(key).size_bytes).decode("latin-1")

    told = []
    for job_id in job_ids:
        job = ImportJob.objects.get(pk=job_id)
        seen = SeenRow.objects.filter(job=job_id)
        rows = seen.filter(row_index__gt=0).order_by("row_index").values_list("row_index", flat=True)
        recount = bridge.process_parts().ledger.counts(job_id)
        live = bridge.live_snapshot(job_id)
        told.append(
            {
                "status": job.status,
                "error_code": job.error_code,
                "counts": [job.success_count, job.failure_count],
                "recount": [recount.success_count, recount.failure_count],
                "live_rows": None if live is None else live.counts.processed_rows,
                "attempts": list(job.chunks.order_by("chunk_index").values_list("attempt", flat=True)),
                "written_rows": list(rows),
                "ends_told": seen.filter(row_index=0).count(),
                "files": [text_of(key) if key else None for key in (job.success_key, job.failed_key)],
            }
        )
    return told


__all__ = [
    "cancel",
    "count_jobs",
    "get",
    "import_file",
    "migrate",
    "post",
    "start",
    "tell",
    "tell_late",
    "unfinished",
    "work",
]

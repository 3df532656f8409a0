"""Jobs: read, moved on by compare-and-set, cancelled, paused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from django_integration.files.models import FileModel
from django_integration.imports import announcing, result_records
from django_integration.imports.database_errors import ledger_errors
from django_integration.imports.ledger.books import Books
from django_integration.imports.ledger.rows import only
from engine.errors import JobNotFoundError
from engine.model import Job, Plan, Source
from engine.status import ChunkStatus, Phase, Status, check_transition


class JobBooks(Books):
    """The rows of `ImportJob`."""

    def create_job(self, job: Job, *, check: Callable[[], None] = lambda: None) -> None:
        raise NotImplementedError("jobs are made by django_integration.imports.services.start")

    @ledger_errors
    def job(self, job_id: str) -> Job:
        row = self._queries.job(job_id)
        if row is None:
            raise JobNotFoundError(f"There is no import job {job_id}.", job_id=job_id)
        return result_records.engine_job(row, now=self._clock())

    @ledger_errors
    def jobs(self, *, unfinished_only: bool = False) -> list[Job]:
        found = self._rows.jobs.select_related("file")
        if unfinished_only:
            found = found.filter(status__in=(Status.QUEUED, Status.RUNNING))
        return [result_records.engine_job(row, now=self._clock()) for row in found]

    @ledger_errors
    def move_job(
        self,
        job_id: str,
        *,
        expected: Sequence[tuple[Status, Phase | None]],
        status: Status,
        phase: Phase | None,
        owner: str | None = None,
        expected_owner: str | None = None,
        **changes: Any,
    ) -> bool:
        for old, _ in expected:
            check_transition(job_id, old, status)
        states = Q()
        for old, old_phase in expected:
            states |= Q(status=str(old), phase=str(old_phase or ""))
        if expected_owner == "":
            states &= Q(owner__isnull=True) | Q(owner="")
        elif expected_owner is not None:
            states &= Q(owner=expected_owner)
        with transaction.atomic(using=self._using):
            row = only(self._rows.lock(self._rows.job(job_id).filter(states), wait=True))
            if row is None:
                return False
            row.status, row.phase, row.owner = str(status), str(phase or ""), owner
            row.heartbeat_at = self._clock()
            result_records.apply_changes(row, changes, using=self._using)
            row.announce_due_at = announcing.due_at(self._clock()) if status.is_final else None
            row.save(using=self._using)
            return True

    @ledger_errors
    def job_heartbeat(self, job_id: str, owner: str) -> None:
        self._rows.job(job_id).filter(owner=owner).update(heartbeat_at=self._clock())
        self._close_in_side_thread()

    @ledger_errors
    def save_plan(self, job_id: str, plan: Plan, *, scanner: str | None = None) -> bool:
        return bool(self._rows.scanned(job_id, scanner).update(plan=dataclasses.asdict(plan)))

    @ledger_errors
    def save_source(self, job_id: str, source: Source, *, scanner: str | None = None) -> bool:
        pinned = {"source_size": source.size_bytes, "source_etag": source.etag}
        if not self._rows.scanned(job_id, scanner).update(**pinned):
            return False
        # The file of a retry is written by the job itself.
        FileModel.objects.using(self._using).filter(
            import_jobs__in=self._rows.job(job_id).filter(retry_of__isnull=False), etag=""
        ).update(size=source.size_bytes, etag=source.etag)
        return True

    @ledger_errors
    def request_cancel(self, job_id: str) -> bool:
        running = self._rows.job(job_id).filter(status__in=(Status.QUEUED, Status.RUNNING))
        if running.update(cancel_requested=True):
            return True
        self._rows.check_exists(job_id)
        return False

    def set_paused(self, job_id: str, paused: bool) -> bool:
        with transaction.atomic(using=self._using):
            if not self._rows.job(job_id).filter(status__in=(Status.QUEUED, Status.RUNNING)).update(paused=paused):
                self._rows.check_exists(job_id)
                return False
            if not paused:
                self._rows.chunks(job_id).filter(status=ChunkStatus.SENT).update(status=ChunkStatus.PLANNED, sendings=0)
            return True

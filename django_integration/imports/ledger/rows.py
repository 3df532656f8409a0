"""The rows of the ledger in the Django database: how they are found and locked, and what values they hold."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet

from django_integration.imports.models import ImportChunk, ImportJob
from django_integration.imports.moments import kept
from engine.errors import JobNotFoundError
from engine.model import Chunk, ChunkOutcome, Claim, Counts, Part
from engine.status import ChunkStatus, Phase, Status

_Row = TypeVar("_Row", ImportJob, ImportChunk)
#: When a chunk that nobody has touched was changed last.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerRows:
    """Queries over the jobs and chunks of one database; none is run before somebody reads it."""

    def __init__(self, using: str) -> None:
        """Take the database's alias."""
        self._using = using

    def check_exists(self, job_id: str) -> None:
        """Raises JobNotFoundError."""
        if not self.job(job_id).exists():
            raise JobNotFoundError(f"There is no import job {job_id}.", job_id=job_id)

    @property
    def jobs(self) -> QuerySet[ImportJob]:
        """All jobs."""
        return ImportJob.objects.using(self._using)

    def job(self, job_id: str) -> QuerySet[ImportJob]:
        """The job's row, or nothing where the name is no id."""
        key = as_key(job_id)
        return self.jobs.none() if key is None else self.jobs.filter(pk=key)

    def chunks(self, job_id: str) -> QuerySet[ImportChunk]:
        """The chunks of a job; none where the name is no id."""
        key, chunks = as_key(job_id), ImportChunk.objects.using(self._using)
        return chunks.none() if key is None else chunks.filter(job_id=key)

    def working(self, job_id: str) -> QuerySet[ImportJob]:
        """The job's row while it takes work (`Job.takes_work`)."""
        return self.job(job_id).filter(
            status=Status.RUNNING,
            phase__in=(Phase.SCANNING, Phase.PROCESSING),
            cancel_requested=False,
            paused=False,
            error_code="",
        )

    def scanned(self, job_id: str, scanner: str | None) -> QuerySet[ImportJob]:
        """The job's row, where a scanner is named only while that one scans it."""
        job = self.job(job_id)
        return job if scanner is None else job.filter(status=Status.RUNNING, phase=Phase.SCANNING, owner=scanner)

    def leased(self, claim: Claim) -> QuerySet[ImportChunk]:
        """The attempt's chunk, as long as it is its own."""
        mine = self.chunks(claim.job_id).filter(chunk_index=claim.chunk.chunk_index, token=claim.token)
        return mine.filter(status=ChunkStatus.LEASED)

    def lock(self, rows: QuerySet[_Row], *, wait: bool = False) -> QuerySet[_Row]:
        """Lock rows where the database can; those that others hold are waited for, or left out.

        Not their keys: rows of handlers and of `WatchedRow` may point at them meanwhile.
        """
        features = connections[self._using].features
        return rows.select_for_update(
            of=("self",) if features.has_select_for_update_of else (),
            skip_locked=features.has_select_for_update_skip_locked and not wait,
            no_key=features.has_select_for_no_key_update,
        )


def only(rows: QuerySet[_Row]) -> _Row | None:
    """The row of a query that gives one or none; `first` would sort and limit, and take longer to be made than run."""
    return next(iter(rows.order_by()), None)


def as_key(job_id: str) -> UUID | None:
    """A job's id as its primary key; None where it is none."""
    try:
        return UUID(job_id)
    except ValueError:
        return None


def changed_at(row: ImportChunk) -> datetime:
    """When a chunk was last sent, claimed or heard of."""
    return row.changed_at or kept(_NEVER)


def chunk_columns(chunk: Chunk) -> dict[str, Any]:
    """The columns of a planned chunk."""
    return dataclasses.asdict(chunk)


def chunk_of(row: ImportChunk) -> Chunk:
    """The planned chunk that a row holds."""
    return Chunk(
        chunk_index=row.chunk_index,
        byte_start=row.byte_start,
        byte_end=row.byte_end,
        first_row_index=row.first_row_index,
        row_count=row.row_count,
        first_line_number=row.first_line_number,
        irregular=row.irregular,
        crc32=row.crc32,
    )


def outcome_of(row: ImportChunk) -> ChunkOutcome:
    """What a chunk that is done came to."""

    def part(key: str | None, size_bytes: int | None, crc32: int | None) -> Part | None:
        return None if key is None or size_bytes is None else Part(key=key, size_bytes=size_bytes, crc32=crc32)

    return ChunkOutcome(
        counts=Counts(success_count=row.success_count, failure_count=row.failure_count),
        success_part=part(row.success_part, row.success_bytes, row.success_crc32),
        failed_part=part(row.failed_part, row.failed_bytes, row.failed_crc32),
        messages=row.messages,
    )

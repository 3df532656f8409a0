"""The queries that every chunk asks of the ledger, as SQL made once."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Count, Exists, F, QuerySet

from django_integration.files.models import FileModel
from django_integration.imports.ledger import turns
from django_integration.imports.ledger.compiled import Compiled, record_of, values_of
from django_integration.imports.ledger.rows import LedgerRows, as_key
from django_integration.imports.models import ImportChunk, ImportJob
from engine.model import ChunkOutcome, Claim, Turn
from engine.status import ChunkStatus

UNFINISHED = (ChunkStatus.PLANNED, ChunkStatus.SENT, ChunkStatus.LEASED)
JOB_FIELDS, CHUNK_FIELDS = ImportJob._meta.concrete_fields, ImportChunk._meta.concrete_fields
_CLAIM = values_of(ImportChunk, token=str, owner=str, changed_at=datetime)
_OUTCOME = values_of(
    ImportChunk,
    changed_at=datetime,
    success_count=int,
    failure_count=int,
    success_part=str,
    success_bytes=int,
    success_crc32=int,
    failed_part=str,
    failed_bytes=int,
    failed_crc32=int,
    messages=dict,
)


class LedgerQueries:
    """Queries of one database; none is made before it is first asked."""

    def __init__(self, using: str, rows: LedgerRows) -> None:
        self._using = using
        job_id = values_of(ImportChunk, job=UUID)
        where = values_of(ImportChunk, job=UUID, chunk_index=int)
        mine = where | values_of(ImportChunk, token=str)

        def chunk(job: UUID, chunk_index: int, **_: Any) -> QuerySet[ImportChunk]:
            return rows.chunks(str(job)).filter(chunk_index=chunk_index).order_by()

        def leased(token: str, **values: Any) -> QuerySet[ImportChunk]:
            return chunk(**values).filter(token=token, status=ChunkStatus.LEASED)

        def waiting(job: UUID, **values: Any) -> QuerySet[ImportChunk]:
            waits = (ChunkStatus.PLANNED, ChunkStatus.SENT)
            return chunk(job, **values).filter(Exists(rows.working(str(job))), status__in=waits)

        self._job = Compiled(
            using,
            lambda id: rows.job(str(id)).values_list(*(field.attname for field in JOB_FIELDS), "file__file_path"),
            values_of(ImportJob, id=UUID),
        )
        self._turns = {
            longest: Compiled(using, partial(turns.by_turn, rows.jobs, longest_waiting=longest), {})
            for longest in (False, True)
        }
        self._begun = Compiled(
            using,
            lambda job: (
                rows.chunks(str(job))
                .filter(status__in=(ChunkStatus.SENT, ChunkStatus.LEASED), attempt__gt=0)
                .order_by("chunk_index")
                .values_list("chunk_index", "status", "owner")
            ),
            job_id,
        )
        self._unfinished = Compiled(
            using,
            lambda job: (
                rows.chunks(str(job))
                .filter(status__in=UNFINISHED)
                .order_by()
                .values_list("status")
                .annotate(Count("pk"))
            ),
            job_id,
        )
        span = {"start": where["chunk_index"], "stop": where["chunk_index"]}
        self._open = Compiled(
            using,
            lambda job, start, stop: (
                rows.chunks(str(job))
                .filter(chunk_index__gte=start, chunk_index__lt=stop)
                .exclude(status=ChunkStatus.DONE)
                .order_by()
                .values_list("chunk_index")[:1]
            ),
            job_id | span,
        )
        lease = partial(Compiled, using, waiting, where | _CLAIM, changes=_lease)
        self._claim, self._claim_and_read = lease(), lease(returning=CHUNK_FIELDS)
        self._claimed = Compiled(
            using,
            lambda token, **values: (
                chunk(**values).filter(token=token).values_list(*(field.attname for field in CHUNK_FIELDS))
            ),
            mine,
        )
        self._lock = Compiled(using, lambda **values: rows.lock(leased(**values).only("pk"), wait=True), mine)
        self._mark_done = Compiled(
            using,
            leased,
            mine | _OUTCOME,
            changes=lambda **values: {
                "status": ChunkStatus.DONE,
                "owner": None,
                **{name: values[name] for name in _OUTCOME},
            },
        )

    def job(self, job_id: str) -> ImportJob | None:
        """The job's row, and of its file the place."""
        if (key := as_key(job_id)) is None:
            return None
        for *values, file_path in self._job.rows(id=key):
            row = record_of(ImportJob, self._using, JOB_FIELDS, values)
            row.file = FileModel(pk=row.file_id, file_path=file_path)
            return row
        return None

    def next_turn(self, *, longest_waiting: bool) -> Turn | None:
        """See `engine.ledger.protocol.Ledger.next_turn`."""
        for job, chunk_index in self._turns[longest_waiting].rows():
            return Turn(job_id=str(job), chunk_index=chunk_index)
        return None

    def begun(self, job_id: str) -> list[list[Any]]:
        """Chunks that an attempt has begun and not ended, in order: index, status and owner of each."""
        return [] if (key := as_key(job_id)) is None else self._begun.rows(job=key)

    def unfinished(self, job_id: str) -> dict[str, int]:
        """How many chunks have each of the states before the last."""
        rows = [] if (key := as_key(job_id)) is None else self._unfinished.rows(job=key)
        return {str(status): count for status, count in rows}

    def is_any_open(self, job_id: str, chunk_indexes: range) -> bool:
        """Whether one of these chunks is not done."""
        key, start, stop = as_key(job_id), chunk_indexes.start, chunk_indexes.stop
        return key is not None and bool(self._open.rows(job=key, start=start, stop=stop))

    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str, now: datetime) -> ImportChunk | None:
        """Lease a chunk that waits, of a job that takes work; the chunk as it is then.

        By one statement where an update gives its rows back, and else by a second that reads it under its new token.
        """
        if (key := as_key(job_id)) is None:
            return None
        values = {"job": key, "chunk_index": chunk_index, "token": token}
        if connections[self._using].vendor == "postgresql":
            rows = self._claim_and_read.rows(**values, owner=owner, changed_at=now)
        elif self._claim.count(**values, owner=owner, changed_at=now):
            rows = self._claimed.rows(**values)
        else:
            rows = []
        return record_of(ImportChunk, self._using, CHUNK_FIELDS, rows[0]) if rows else None

    def lock(self, claim: Claim) -> bool:
        """Lock the attempt's chunk; False where it is no longer its own."""
        return bool(self._lock.rows(**_mine(claim)))

    def mark_done(self, claim: Claim, outcome: ChunkOutcome, *, now: datetime) -> bool:
        """Write what the attempt came to; False where the chunk is no longer its own."""
        success, failed = outcome.success_part, outcome.failed_part
        done = self._mark_done.count(
            **_mine(claim),
            changed_at=now,
            success_count=outcome.counts.success_count,
            failure_count=outcome.counts.failure_count,
            success_part=success and success.key,
            success_bytes=success and success.size_bytes,
            success_crc32=success and success.crc32,
            failed_part=failed and failed.key,
            failed_bytes=failed and failed.size_bytes,
            failed_crc32=failed and failed.crc32,
            messages=dict(outcome.messages),
        )
        return done == 1


def _lease(token: str, owner: str, changed_at: datetime, **_: Any) -> dict[str, Any]:
    return {
        "status": ChunkStatus.LEASED,
        "token": token,
        "owner": owner,
        "attempt": F("attempt") + 1,
        "sendings": 0,
        "changed_at": changed_at,
    }


def _mine(claim: Claim) -> dict[str, Any]:
    return {"job": UUID(claim.job_id), "chunk_index": claim.chunk.chunk_index, "token": claim.token}

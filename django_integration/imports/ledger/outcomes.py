"""What the chunks of a job came to, each by itself and in sum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from django.db.models import Sum

from django_integration.imports.database_errors import ledger_errors, translated
from django_integration.imports.ledger.books import Books
from django_integration.imports.ledger.rows import changed_at, chunk_of, outcome_of
from engine.failure_messages import sum_messages
from engine.model import ChunkOutcome, ChunkState, Counts
from engine.status import ChunkStatus


class Outcomes(Books):
    """The recount: sums over committed chunks."""

    def chunk_states(self, job_id: str) -> Iterator[ChunkState]:
        now = self._clock()
        with translated(self._using):
            for row in self._rows.chunks(job_id).order_by("chunk_index").iterator(chunk_size=1_000):
                yield ChunkState(
                    chunk=chunk_of(row),
                    status=ChunkStatus(row.status),
                    attempt=row.attempt,
                    owner=row.owner,
                    seconds_since_change=max(0.0, (now - changed_at(row)).total_seconds()),
                    outcome=outcome_of(row) if row.status == ChunkStatus.DONE else None,
                )

    @ledger_errors
    def outcome(self, job_id: str, chunk_index: int) -> ChunkOutcome | None:
        row = self._rows.chunks(job_id).filter(chunk_index=chunk_index, status=ChunkStatus.DONE).first()
        return None if row is None else outcome_of(row)

    @ledger_errors
    def done_outcomes(self, job_id: str, chunk_indexes: range) -> Sequence[tuple[int, ChunkOutcome]] | None:
        """See the protocol. Asked after every chunk, and answered by None most of the time."""
        if self._queries.is_any_open(job_id, chunk_indexes):
            return None
        within = self._rows.chunks(job_id).filter(
            chunk_index__gte=chunk_indexes.start, chunk_index__lt=chunk_indexes.stop
        )
        return [(row.chunk_index, outcome_of(row)) for row in within.order_by("chunk_index")]

    @ledger_errors
    def unfinished_chunks(self, job_id: str) -> int:
        return sum(self._queries.unfinished(job_id).values())

    @ledger_errors
    def begun_chunks(self, job_id: str) -> int:
        return self._rows.chunks(job_id).filter(status__in=(ChunkStatus.LEASED, ChunkStatus.DONE)).count()

    @ledger_errors
    def messages(self, job_id: str) -> Mapping[str, int]:
        done = self._rows.chunks(job_id).filter(status=ChunkStatus.DONE, failure_count__gt=0)
        return sum_messages(done.values_list("messages", flat=True).iterator(chunk_size=1_000))

    @ledger_errors
    def counts(self, job_id: str) -> Counts:
        sums = (
            self._rows.chunks(job_id)
            .filter(status=ChunkStatus.DONE)
            .aggregate(ok=Sum("success_count"), no=Sum("failure_count"))
        )
        return Counts(success_count=sums["ok"] or 0, failure_count=sums["no"] or 0)

    @ledger_errors
    def counts_by_chunk(self, job_id: str) -> Mapping[int, Counts]:
        done = self._rows.chunks(job_id).filter(status=ChunkStatus.DONE)
        return {
            index: Counts(success_count=success, failure_count=failure)
            for index, success, failure in done.values_list("chunk_index", "success_count", "failure_count")
        }

"""Chunks on their way to a worker: planned, sent within the window, due next, dropped."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from django_integration.imports.database_errors import ledger_errors
from django_integration.imports.ledger.books import Books
from django_integration.imports.ledger.rows import chunk_columns, only
from django_integration.imports.models import ImportChunk
from engine.model import Chunk, Turn
from engine.status import ChunkStatus

#: Messages that wait for a worker are enough for a while when they are a quarter of the window, and not very few.
_REFILLS_OF_A_WINDOW, _FEW_MESSAGES = 4, 4


class Dispatch(Books):
    """What is sent, and whose turn it is."""

    @ledger_errors
    def add_chunks(self, job_id: str, chunks: Sequence[Chunk]) -> None:
        rows = [ImportChunk(job_id=job_id, **chunk_columns(chunk)) for chunk in chunks]
        ImportChunk.objects.using(self._using).bulk_create(rows, batch_size=1_000, ignore_conflicts=True)

    @ledger_errors
    def send_chunks(self, job_id: str, *, window: int) -> list[int]:
        """See the protocol. While enough messages wait, none are added: one look is cheaper than a transaction."""
        waiting = self._queries.unfinished(job_id)
        has_enough = waiting.get(ChunkStatus.SENT, 0) >= max(_FEW_MESSAGES, window // _REFILLS_OF_A_WINDOW)
        if has_enough or ChunkStatus.PLANNED not in waiting:
            return []  # whoever adds chunks, or ends the next one, looks again
        planned = self._rows.chunks(job_id).filter(status=ChunkStatus.PLANNED)
        with transaction.atomic(using=self._using):
            # The job's row serialises the senders, so that the window holds.
            if only(self._rows.lock(self._rows.job(job_id).only("pk"), wait=True)) is None:
                return []
            in_flight = self._rows.chunks(job_id).filter(status__in=(ChunkStatus.SENT, ChunkStatus.LEASED)).count()
            room = max(0, window - in_flight)
            found = list(planned.order_by("chunk_index").values_list("chunk_index", flat=True)[:room])
            if found:
                planned.filter(chunk_index__in=found).update(
                    status=ChunkStatus.SENT, changed_at=self._clock(), sendings=1
                )
            return found

    @ledger_errors
    def next_turn(self, *, longest_waiting: bool = False) -> Turn | None:
        return self._queries.next_turn(longest_waiting=longest_waiting)

    @ledger_errors
    def drop_chunks(self, job_id: str) -> None:
        waiting = self._rows.chunks(job_id).filter(status__in=(ChunkStatus.PLANNED, ChunkStatus.SENT))
        waiting.update(status=ChunkStatus.DROPPED)

    def restore_chunks(self, job_id: str) -> None:
        self._rows.chunks(job_id).filter(status=ChunkStatus.DROPPED).update(status=ChunkStatus.PLANNED)

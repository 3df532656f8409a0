"""Chunks on their way to a worker: planned, sent within the window, due next, dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction
from django.db.models import F

from django_integration.imports.database_errors import ledger_errors
from django_integration.imports.ledger.books import Books
from django_integration.imports.ledger.rows import chunk_columns, chunk_of, only
from django_integration.imports.models import ImportChunk
from engine.ledger.records import taken_in
from engine.model import Chunk, Turn
from engine.status import ChunkStatus

#: Messages that wait for a worker are enough for a while when they are a quarter of the window, and not very few.
_REFILLS_OF_A_WINDOW, _FEW_MESSAGES = 4, 4
#: Chunks of one statement.
_ROWS_AT_ONCE = 250


class Dispatch(Books):
    """What is sent, and whose turn it is."""

    @ledger_errors
    def add_chunks(self, job_id: str, chunks: Sequence[Chunk], *, scanner: str | None = None) -> bool:
        rows = [ImportChunk(job_id=job_id, **chunk_columns(chunk)) for chunk in chunks]
        with transaction.atomic(using=self._using):
            # Whoever takes the scan over waits for the job's row, and then for these chunks.
            if only(self._rows.lock(self._rows.scanned(job_id, scanner).only("pk"), wait=True)) is None:
                return False
            ImportChunk.objects.using(self._using).bulk_create(rows, batch_size=1_000, ignore_conflicts=True)
            return True

    @ledger_errors
    def enlarge_chunks(self, job_id: str, enlarge: Callable[[Sequence[Chunk]], Sequence[Chunk]]) -> int:
        """See the protocol. A chunk that somebody claims at this moment is left out; none is waited for."""
        waits = (ChunkStatus.PLANNED, ChunkStatus.SENT)
        untouched = self._rows.chunks(job_id).filter(status__in=waits, attempt=0)
        with transaction.atomic(using=self._using):
            rows = {row.chunk_index: row for row in self._rows.lock(untouched.order_by("chunk_index"))}
            chunks = [chunk_of(row) for row in rows.values()]
            larger = enlarge(chunks)
            for chunk in larger:
                row = rows[chunk.chunk_index]
                row.byte_end, row.row_count = chunk.byte_end, chunk.row_count
                row.irregular, row.crc32 = chunk.irregular, chunk.crc32
            changed = [rows[chunk.chunk_index] for chunk in larger]
            names = ["byte_end", "row_count", "irregular", "crc32"]
            ImportChunk.objects.using(self._using).bulk_update(changed, names, batch_size=_ROWS_AT_ONCE)
            empty = taken_in(chunks, larger)
            for start in range(0, len(empty), _ROWS_AT_ONCE):
                self._rows.chunks(job_id).filter(chunk_index__in=empty[start : start + _ROWS_AT_ONCE]).update(
                    byte_start=F("byte_end"), row_count=0, status=ChunkStatus.DONE, changed_at=self._clock()
                )
            return len(empty)

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

"""What one attempt commits its chunk by: in the transaction of its rows, or in one of its own."""

from __future__ import annotations

from collections.abc import Callable

from django_integration.imports.database_errors import translated
from django_integration.imports.savepoints import RowSavepoints
from engine.errors import LeaseLostError
from engine.model import ChunkOutcome, Claim

#: Marks a chunk done in the present transaction. Raises LeaseLostError.
MarkDone = Callable[[Claim, ChunkOutcome], None]


class PlainWork:
    """Rows without a transaction, for handlers whose effects lie elsewhere: they run at least once."""

    row_guard = None

    def __init__(self, claim: Claim, mark_done: MarkDone, *, using: str) -> None:
        self._claim = claim
        self._mark_done = mark_done
        self._using = using

    def commit(self, outcome: ChunkOutcome) -> None:
        """Mark the chunk done in a transaction of its own."""
        with translated(self._using):
            self._mark_done(self._claim, outcome)


class AtomicWork:
    """Rows inside the transaction that also commits their chunk."""

    def __init__(self, claim: Claim, mark_done: MarkDone, row_guard: RowSavepoints) -> None:
        self._claim = claim
        self._mark_done = mark_done
        self.row_guard = row_guard
        self.is_marked = False

    def commit(self, outcome: ChunkOutcome) -> None:
        """Mark the chunk done; the transaction ends with the work's context."""
        self._mark_done(self._claim, outcome)
        self.is_marked = True


def lease_lost(claim: Claim) -> LeaseLostError:
    """The error of an attempt whose chunk is another's."""
    return LeaseLostError(
        f"Attempt {claim.attempt} of chunk {claim.chunk.chunk_index} of job {claim.job_id} lost its lease.",
        job_id=claim.job_id,
        chunk_index=claim.chunk.chunk_index,
        attempt=claim.attempt,
    )

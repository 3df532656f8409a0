"""What one attempt commits its chunk by: in the transaction of its rows, or in one of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error as DatabaseError
from django.db import connections, transaction

from django_integration.conf import import_settings
from django_integration.imports.database_errors import as_ledger_error, ended_session, gave_way, translated
from django_integration.imports.ledger.books import Books
from django_integration.imports.savepoints import RowSavepoints
from engine.errors import LeaseLostError, LedgerError, LedgerUnavailableError
from engine.guard import TransactionLostError
from engine.ledger.protocol import ChunkWork
from engine.model import ChunkOutcome, Claim
from engine.status import ChunkStatus

#: Marks a chunk done in the present transaction. Raises LeaseLostError.
MarkDone = Callable[[Claim, ChunkOutcome], None]
#: Longer than the longest wait between two tries of SQLite to get a lock (100 ms).
_SQLITE_PAUSE_SECONDS = 0.12
#: Attempts at a chunk in one process that lose their transaction before the job ends by it: a handler that ends it
#: itself would do so for ever.
_LOST_ATTEMPTS = 6
#: The same for all processes together: there may be many, each of which ends after a task or two.
_LOST_ATTEMPTS_OF_ALL = 30
#: The longest wait after the first of them, where it gave way to another.
_PAUSE_SECONDS = 0.5
#: Chunks of which that is remembered; a worker may live for months.
_MOST_REMEMBERED = 1_000


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

    def __init__(self, claim: Claim, mark_done: MarkDone, row_guard: RowSavepoints, *, using: str) -> None:
        self._claim = claim
        self._mark_done = mark_done
        self._using = using
        self._beginning = ""
        self.row_guard = row_guard
        self.is_marked = False

    def begin(self) -> None:
        """To be called before the first row, in the transaction: sets the savepoint by which it is known again."""
        self._beginning = connections[self._using].savepoint() or ""

    def commit(self, outcome: ChunkOutcome) -> None:
        """Mark the chunk done; the transaction ends with the work's context.

        Raises:
            TransactionLostError: it is another one by now, or can only be undone.
        """
        try:
            connections[self._using].savepoint_commit(self._beginning)
        except DatabaseError as error:
            if ended_session(error, self._using):
                raise
            raise TransactionLostError(str(error)) from error
        self._mark_done(self._claim, outcome)
        self.is_marked = True


class Attempts(Books):
    """The transactions in which rows run."""

    @contextmanager
    def work(self, claim: Claim, *, atomic: bool = True) -> Iterator[ChunkWork]:
        if not atomic:
            yield PlainWork(claim, self._mark_done, using=self._using)
            return
        if connections[self._using].vendor == "sqlite":
            # Its writers do not queue: without a pause, those of the web server would hardly ever get their turn.
            time.sleep(_SQLITE_PAUSE_SECONDS)
        if claim.deaths:
            self._watched.prepare(claim.job_id, claim.chunk.chunk_index)
        lost = self._lost.get((claim.job_id, claim.chunk.chunk_index), 0)
        is_last = _are_too_many(lost + 1, _lost_by_all(claim) + 1)
        work = AtomicWork(
            claim, self._mark_done, RowSavepoints(self._using, may_give_way=not is_last), using=self._using
        )
        self._locked[claim.token] = work.row_guard
        try:
            with transaction.atomic(using=self._using, durable=True):
                self._prepare_session()
                if not self._queries.lock(claim):
                    raise lease_lost(claim)
                work.begin()
                with work.row_guard.watching():
                    yield work
        except DatabaseError as error:
            # An error out of COMMIT leaves its outcome unknown: only a new connection can tell.
            connections[self._using].close()
            facts = {"job_id": claim.job_id, "chunk_index": claim.chunk.chunk_index}
            with translated(self._using, **facts):
                is_committed = work.is_marked and self._is_committed(claim)
            if not is_committed:
                raise as_ledger_error(error, **facts) from error
        except TransactionLostError as error:
            connections[self._using].close()
            raise self._after_loss(claim, error, is_silenced=work.row_guard.is_lost) from error
        finally:
            self._locked.pop(claim.token, None)
            if work.row_guard.is_lost:
                self._silenced.add(claim.token)

    def _mark_done(self, claim: Claim, outcome: ChunkOutcome) -> None:
        """Mark the chunk done in the present transaction. Raises LeaseLostError."""
        if not self._queries.mark_done(claim, outcome, now=self._clock()):
            raise lease_lost(claim)

    def _after_loss(self, claim: Claim, error: TransactionLostError, *, is_silenced: bool) -> LedgerError:
        """What ends an attempt without its transaction: worth another one, unless it has happened again and again.

        Where a row was silent for too long it is always worth another one, as that row is found out.
        """
        if is_silenced:
            return LedgerUnavailableError(
                f"A row of chunk {claim.chunk.chunk_index} let the database wait for more than "
                "IMPORT_IDLE_TRANSACTION_SECONDS, which ended the session.",
                job_id=claim.job_id,
                chunk_index=claim.chunk.chunk_index,
            )
        chunk = (claim.job_id, claim.chunk.chunk_index)
        if len(self._lost) > _MOST_REMEMBERED:
            self._lost.clear()
        lost = self._lost[chunk] = self._lost.get(chunk, 0) + 1
        self._kept_attempts.add(claim.token)
        if isinstance(error.__cause__, DatabaseError) and gave_way(error.__cause__):
            # For the others to get on; not as long for one as for another, so that they do not meet again.
            time.sleep(random.uniform(0, _PAUSE_SECONDS * lost))  # noqa: S311 - nobody gains by guessing it
        kind: type[LedgerError] = LedgerUnavailableError
        if _are_too_many(lost, _lost_by_all(claim) + 1):
            kind = LedgerError
            del self._lost[chunk]
        return kind(
            f"The transaction of chunk {claim.chunk.chunk_index} ended while its rows were run: by a deadlock, a full "
            f"disk, or a handler that commits or rolls back by itself. The database says: {error}",
            job_id=claim.job_id,
            chunk_index=claim.chunk.chunk_index,
        )

    def _is_committed(self, claim: Claim) -> bool:
        return (
            self._rows.chunks(claim.job_id)
            .filter(chunk_index=claim.chunk.chunk_index, token=claim.token, status=ChunkStatus.DONE)
            .exists()
        )

    def _prepare_session(self) -> None:
        connection = connections[self._using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # A stopped process must not hold its chunk for ever, a dead client be noticed during a statement.
                seconds = import_settings().idle_transaction_seconds
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {int(seconds) * 1000}")
        elif getattr(connection, "mysql_is_mariadb", False):
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SET SESSION idle_transaction_timeout = {int(import_settings().idle_transaction_seconds)}"
                )


def _lost_by_all(claim: Claim) -> int:
    """How many attempts before this one have lost their transaction: those that neither died nor were given back."""
    return claim.attempt - 1 - claim.deaths


def _are_too_many(lost_here: int, lost_by_all: int) -> bool:
    """Whether the last of these is the end of the job; one that is resumed has as many again."""
    return lost_here >= _LOST_ATTEMPTS or (lost_by_all > 0 and lost_by_all % _LOST_ATTEMPTS_OF_ALL == 0)


def lease_lost(claim: Claim) -> LeaseLostError:
    """The error of an attempt whose chunk is another's."""
    return LeaseLostError(
        f"Attempt {claim.attempt} of chunk {claim.chunk.chunk_index} of job {claim.job_id} lost its lease.",
        job_id=claim.job_id,
        chunk_index=claim.chunk.chunk_index,
        attempt=claim.attempt,
    )

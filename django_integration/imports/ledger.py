"""The ledger on the Django database: the handlers' writes and the chunk's commit in one transaction.

On PostgreSQL the row lock of a chunk, held while its rows run, is the lease: a dead owner's lock is
gone at once, so that it needs no heartbeat, and no living owner is taken for a silent one. SQLite
has no row locks; there a dead process is told by its name (`engine.ledger.owner`), and as all
workers share one machine, an owner that lives for certain keeps its chunk however long it waits
for the one writer.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.imports import announcing, result_records
from django_integration.imports.database_errors import as_ledger_error, ledger_errors, translated
from django_integration.imports.ledger_queries import LedgerQueries
from django_integration.imports.ledger_rows import (
    LedgerRows,
    changed_at,
    chunk_columns,
    chunk_of,
    only,
    outcome_of,
)
from django_integration.imports.ledger_work import AtomicWork, PlainWork, lease_lost
from django_integration.imports.models import ImportChunk
from django_integration.imports.savepoints import RowSavepoints
from django_integration.imports.watched_rows import WatchedRows
from engine.errors import JobNotFoundError
from engine.failure_messages import sum_messages
from engine.ledger import owner as owners
from engine.ledger.protocol import ChunkWork
from engine.ledger.records import Fate, taken_in
from engine.model import Chunk, ChunkOutcome, ChunkState, Claim, Counts, Job, Plan, Source, Turn
from engine.status import ChunkStatus, Phase, Status, check_transition

#: Longer than the longest wait between two tries of SQLite to get a lock (100 ms).
_SQLITE_PAUSE_SECONDS = 0.12
#: Messages that wait for a worker are enough for a while when they are a quarter of the window, and not very few.
_REFILLS_OF_A_WINDOW, _FEW_MESSAGES = 4, 4
#: Chunks of one statement.
_ROWS_AT_ONCE = 250
#: As in the SQLite ledger: a message is sent again after the given time, then twice that, up to this factor.
_MAX_RESEND_FACTOR = 16


class DjangoLedger:
    """See `engine.ledger.protocol.Ledger`. Connections are Django's own, one per thread."""

    def __init__(
        self,
        using: str | None = None,
        *,
        clock: Callable[[], datetime] = timezone.now,
        is_dead: Callable[[str], bool | None] = owners.is_dead,
    ) -> None:
        """
        Args:
            using: the database alias; None for IMPORT_DATABASE.
            is_dead: tells whether an owner is gone; None where that cannot be told.
        """
        self._using = using or import_settings().database
        self._clock = clock
        self._is_dead = is_dead
        self._rows = LedgerRows(self._using)
        self._queries = LedgerQueries(self._using, self._rows)
        self._watched = WatchedRows(self._using)
        self._locked: set[str] = set()  # tokens of attempts whose row lock is their lease

    @property
    def url(self) -> str:
        """For messages only: every process of the project opens the same database."""
        return f"django:///{self._using}"

    # Jobs

    def create_job(self, job: Job) -> None:
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
    def save_plan(self, job_id: str, plan: Plan) -> None:
        self._rows.job(job_id).update(plan=dataclasses.asdict(plan))

    @ledger_errors
    def save_source(self, job_id: str, source: Source) -> None:
        self._rows.job(job_id).update(source_size=source.size_bytes, source_etag=source.etag)
        # The file of a retry is written by the job itself.
        FileModel.objects.using(self._using).filter(
            import_jobs__in=self._rows.job(job_id).filter(retry_of__isnull=False), etag=""
        ).update(size=source.size_bytes, etag=source.etag)

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

    # Chunks

    @ledger_errors
    def add_chunks(self, job_id: str, chunks: Sequence[Chunk]) -> None:
        rows = [ImportChunk(job_id=job_id, **chunk_columns(chunk)) for chunk in chunks]
        ImportChunk.objects.using(self._using).bulk_create(rows, batch_size=1_000, ignore_conflicts=True)

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
    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str) -> Claim | None:
        row = self._queries.claim(job_id, chunk_index, owner=owner, token=token, now=self._clock())
        if row is not None:
            return self._claim_of(row, token)
        chunk = self._rows.chunks(job_id).filter(chunk_index=chunk_index)
        with transaction.atomic(using=self._using):
            # A row that is locked belongs to a living attempt, which this must not wait for.
            row = only(self._rows.lock(chunk.filter(status=ChunkStatus.LEASED)))
            if row is None or not (row.owner and self._is_dead(row.owner)) or not self._rows.working(job_id).exists():
                return None
            fate = self._fate(row).after_death()
            row.status, row.token, row.owner = ChunkStatus.LEASED, token, owner
            row.attempt += 1
            row.sendings = 0
            self._set_fate(row, fate)
            row.save(using=self._using)
            return self._claim_of(row, token)

    @ledger_errors
    def abandoned_chunk(self, job_id: str) -> int | None:
        rows = self._queries.begun(job_id)
        left = (
            index for index, status, owner in rows if status == ChunkStatus.SENT or (owner and self._is_dead(owner))
        )
        return next(left, None)

    @ledger_errors
    def heartbeat(self, claim: Claim) -> bool:
        """See the protocol. An attempt that holds its row's lock needs none, and would wait for itself."""
        if claim.token in self._locked:
            return True
        lives = self._touch(claim)
        self._close_in_side_thread()
        return lives

    @ledger_errors
    def watch_row(self, claim: Claim, row_index: int | None) -> None:
        if claim.token not in self._locked and not self._touch(claim):
            raise lease_lost(claim)
        self._watched.write(claim.job_id, claim.chunk.chunk_index, row_index)

    @contextmanager
    def work(self, claim: Claim, *, atomic: bool = True) -> Iterator[ChunkWork]:
        if not atomic:
            yield PlainWork(claim, self._mark_done, using=self._using)
            return
        if connections[self._using].vendor == "sqlite":
            # Its writers do not queue: without a pause, those of the web server would hardly ever get their turn.
            time.sleep(_SQLITE_PAUSE_SECONDS)
        work = AtomicWork(claim, self._mark_done, RowSavepoints(self._using))
        self._locked.add(claim.token)
        try:
            with transaction.atomic(using=self._using, durable=True):
                self._prepare_session()
                if not self._queries.lock(claim):
                    raise lease_lost(claim)
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
        finally:
            self._locked.discard(claim.token)

    @ledger_errors
    def release(self, claim: Claim, *, forget_deaths: bool = False) -> None:
        forget: dict[str, Any] = {"deaths": 0, "suspect_row": None} if forget_deaths else {}
        released = self._rows.leased(claim).update(
            status=ChunkStatus.PLANNED, attempt=claim.attempt - 1, token=None, owner=None, **forget
        )
        if released:
            self._watched.write(claim.job_id, claim.chunk.chunk_index, None)

    @ledger_errors
    def take_back(self, job_id: str, *, lease_seconds: float, resend_after_seconds: float) -> list[int]:
        found: list[int] = []
        now = self._clock()

        def is_due(row: ImportChunk) -> bool:
            idle = now - changed_at(row)
            if row.status == ChunkStatus.LEASED:
                return self._is_abandoned(row, idle=idle, lease_seconds=lease_seconds)
            factor = min(2 ** max(0, row.sendings - 1), _MAX_RESEND_FACTOR)
            return idle >= timedelta(seconds=resend_after_seconds * factor)

        rows = (
            self._rows.chunks(job_id).filter(status__in=(ChunkStatus.SENT, ChunkStatus.LEASED)).order_by("chunk_index")
        )
        # Only what is due is locked: a claim passes over a locked chunk, and its message would be lost.
        due = [row.chunk_index for row in rows if is_due(row)]
        if not due:
            return found
        with transaction.atomic(using=self._using):
            for row in self._rows.lock(rows.filter(chunk_index__in=due)):
                if not is_due(row):
                    continue
                fate = self._fate(row)
                if row.status == ChunkStatus.LEASED:
                    fate = fate.after_death()
                row.status, row.token, row.owner = ChunkStatus.SENT, None, None
                row.sendings += 1
                self._set_fate(row, fate)
                row.save(using=self._using)
                found.append(row.chunk_index)
        return found

    @ledger_errors
    def drop_chunks(self, job_id: str) -> None:
        waiting = self._rows.chunks(job_id).filter(status__in=(ChunkStatus.PLANNED, ChunkStatus.SENT))
        waiting.update(status=ChunkStatus.DROPPED)

    def restore_chunks(self, job_id: str) -> None:
        self._rows.chunks(job_id).filter(status=ChunkStatus.DROPPED).update(status=ChunkStatus.PLANNED)

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

    def close(self) -> None:
        self._watched.close()
        connections[self._using].close()

    # What the attempts of a chunk need

    def _mark_done(self, claim: Claim, outcome: ChunkOutcome) -> None:
        """Mark the chunk done in the present transaction. Raises LeaseLostError."""
        if not self._queries.mark_done(claim, outcome, now=self._clock()):
            raise lease_lost(claim)

    # Small things

    def _claim_of(self, row: ImportChunk, token: str) -> Claim:
        fate = self._fate(row, may_be_watched=False)
        return Claim(
            job_id=str(row.job_id),
            chunk=chunk_of(row),
            attempt=row.attempt,
            token=token,
            deaths=fate.deaths,
            suspect_row=fate.suspect_row,
            guilty_rows=fate.guilty_rows,
        )

    def _touch(self, claim: Claim) -> bool:
        return bool(self._rows.leased(claim).update(changed_at=self._clock()))

    def _is_abandoned(self, row: ImportChunk, *, idle: timedelta, lease_seconds: float) -> bool:
        """Whether a leased chunk, whose row is not locked, has no owner that will come back to it."""
        dead = self._is_dead(row.owner) if row.owner else True
        if dead:
            return True
        # Unlocked for so long: it never began its work, or its session was ended by the server.
        may_be_taken = dead is None or connections[self._using].features.has_select_for_update
        return may_be_taken and idle >= timedelta(seconds=lease_seconds)

    def _fate(self, row: ImportChunk, *, may_be_watched: bool = True) -> Fate:
        """What is known of the deaths; the watched row only where a lease may turn out to be a dead one's."""
        is_watched = may_be_watched and row.status == ChunkStatus.LEASED
        return Fate(
            deaths=row.deaths,
            watched_row=self._watched.read(str(row.job_id), row.chunk_index) if is_watched else None,
            suspect_row=row.suspect_row,
            guilty_rows=tuple(row.guilty_rows),
        )

    def _set_fate(self, row: ImportChunk, fate: Fate) -> None:
        row.deaths, row.suspect_row, row.guilty_rows = fate.deaths, fate.suspect_row, list(fate.guilty_rows)
        row.changed_at = self._clock()
        if fate.deaths:
            self._watched.write(str(row.job_id), row.chunk_index, None)

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

    def _close_in_side_thread(self) -> None:
        """Threads of the engine end soon; their connections must not stay behind."""
        if threading.current_thread() is not threading.main_thread():
            connections[self._using].close()

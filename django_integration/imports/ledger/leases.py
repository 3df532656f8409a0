"""Who has a chunk in hand: claimed, kept by a heartbeat, given back, or taken back from the dead and the silent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections, transaction

from django_integration.imports.database_errors import ledger_errors
from django_integration.imports.ledger.attempts import lease_lost
from django_integration.imports.ledger.books import Books
from django_integration.imports.ledger.rows import changed_at, chunk_of, only
from django_integration.imports.models import ImportChunk
from engine.ledger.records import Fate
from engine.model import Claim
from engine.status import ChunkStatus

#: As in the SQLite ledger: a message is sent again after the given time, then twice that, up to this factor.
_MAX_RESEND_FACTOR = 16


class Leases(Books):
    """The leases of all chunks, and what is known of the deaths on each."""

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
        """See the protocol. An attempt that holds its row's lock would wait for itself; it only has to stay awake."""
        guard = self._locked.get(claim.token)
        if guard is not None:
            guard.nudge()
            return True
        lives = self._touch(claim)
        self._close_in_side_thread()
        return lives

    @ledger_errors
    def watch_row(self, claim: Claim, row_index: int | None) -> None:
        if claim.token not in self._locked and not self._touch(claim):
            raise lease_lost(claim)
        self._watched.write(claim.job_id, claim.chunk.chunk_index, row_index)

    @ledger_errors
    def release(self, claim: Claim, *, forget_deaths: bool = False) -> None:
        if claim.token in self._silenced:
            self._count_death(claim)
            self._kept_attempts.add(claim.token)
            self._silenced.discard(claim.token)  # once it is counted: a deadlock has all of this done once more
        forget: dict[str, Any] = {"deaths": 0, "suspect_row": None} if forget_deaths else {}
        attempt = claim.attempt if claim.token in self._kept_attempts else claim.attempt - 1
        released = self._rows.leased(claim).update(
            status=ChunkStatus.PLANNED, attempt=attempt, token=None, owner=None, **forget
        )
        self._kept_attempts.discard(claim.token)
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

    def _count_death(self, claim: Claim) -> None:
        """Count an attempt as a dead one's: given back as if nothing had been, it would come to the same for ever.

        After two of them the chunk's rows are watched, and the one that takes so long by itself is found out.
        """
        row = self._rows.leased(claim).first()
        if row is not None:
            self._set_fate(row, self._fate(row).after_death())
            row.save(using=self._using)

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

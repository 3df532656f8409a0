"""Who has a chunk in hand: claimed, kept by a heartbeat, committed, given back, or taken back from the dead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from engine.ledger import records
from engine.ledger.protocol import ChunkWork
from engine.ledger.sqlite.books import Books, lease_lost
from engine.model import ChunkOutcome, Claim
from engine.status import ChunkStatus

#: A message that was not picked up is sent again after the given time, then after twice as long, and
#: so on up to this factor, so that a long queue is not filled with copies.
_MAX_RESEND_FACTOR = 16


class Leases(Books):
    """The leases of all chunks, and what is known of the deaths on each."""

    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str) -> Claim | None:
        with self._file.transaction() as execute:
            row = execute(
                "SELECT c.* FROM chunks c JOIN jobs j USING (job_id) WHERE c.job_id = ? AND c.chunk_index = ?"
                " AND j.status = 'running' AND j.phase IN ('scanning', 'processing') AND NOT j.cancel_requested"
                " AND NOT j.paused AND j.error_code IS NULL AND j.executor = coalesce(?, j.executor)",
                (job_id, chunk_index, self._executor),
            ).fetchone()
            if row is None or row["status"] not in (ChunkStatus.PLANNED, ChunkStatus.SENT, ChunkStatus.LEASED):
                return None
            fate = records.Fate.of_row(row)
            if row["status"] == ChunkStatus.LEASED:
                if not self._is_dead(row["owner"]):
                    return None
                fate = fate.after_death()
            attempt = row["attempt"] + 1
            execute(
                "UPDATE chunks SET status = 'leased', attempt = ?, token = ?, owner = ?, changed_at = ?, sendings = 0,"
                " deaths = ?, watched_row = NULL, suspect_row = ?, guilty_rows = ?"
                " WHERE job_id = ? AND chunk_index = ?",
                (attempt, token, owner, self._clock(), *fate.columns(), job_id, chunk_index),
            )
            return Claim(
                job_id=job_id,
                chunk=records.chunk_from_row(row),
                attempt=attempt,
                token=token,
                deaths=fate.deaths,
                suspect_row=fate.suspect_row,
                guilty_rows=fate.guilty_rows,
            )

    def abandoned_chunk(self, job_id: str) -> int | None:
        rows = self._file.read(
            "SELECT chunk_index, status, owner FROM chunks WHERE job_id = ? AND attempt > 0"
            " AND status IN ('sent', 'leased') ORDER BY chunk_index",
            job_id,
        )
        left = (row["chunk_index"] for row in rows if row["status"] == ChunkStatus.SENT or self._is_dead(row["owner"]))
        return next(left, None)

    def heartbeat(self, claim: Claim) -> bool:
        return self._update_leased(claim, "changed_at = ?", self._clock())

    def watch_row(self, claim: Claim, row_index: int | None) -> None:
        if not self._update_leased(claim, "watched_row = ?, changed_at = ?", row_index, self._clock()):
            raise lease_lost(claim)

    @contextmanager
    def work(self, claim: Claim, *, atomic: bool = True) -> Iterator[ChunkWork]:  # noqa: ARG002 - never atomic here
        yield _SqliteWork(self, claim)

    def commit_chunk(self, claim: Claim, outcome: ChunkOutcome) -> None:
        """Mark the chunk done if the attempt still holds it. Raises LeaseLostError."""
        success, failed = outcome.success_part, outcome.failed_part
        if not self._update_leased(
            claim,
            "status = 'done', owner = NULL, watched_row = NULL, changed_at = ?, success_count = ?, failure_count = ?,"
            " success_key = ?, success_bytes = ?, success_crc32 = ?,"
            " failed_key = ?, failed_bytes = ?, failed_crc32 = ?, messages = ?",
            self._clock(),
            outcome.counts.success_count,
            outcome.counts.failure_count,
            success and success.key,
            success and success.size_bytes,
            success and success.crc32,
            failed and failed.key,
            failed and failed.size_bytes,
            failed and failed.crc32,
            json.dumps(dict(outcome.messages)),
        ):
            raise lease_lost(claim)

    def release(self, claim: Claim, *, forget_deaths: bool = False) -> None:
        forget = ", deaths = 0, suspect_row = NULL" if forget_deaths else ""
        self._update_leased(
            claim, "status = 'planned', attempt = attempt - 1, token = NULL, owner = NULL, watched_row = NULL" + forget
        )

    def take_back(self, job_id: str, *, lease_seconds: float, resend_after_seconds: float) -> list[int]:
        now = self._clock()
        found: list[int] = []
        with self._file.transaction() as execute:
            rows = execute(
                "SELECT c.* FROM chunks c JOIN jobs j USING (job_id) WHERE c.job_id = ?"
                " AND c.status IN ('sent', 'leased') AND j.executor = coalesce(?, j.executor) ORDER BY c.chunk_index",
                (job_id, self._executor),
            ).fetchall()
            for row in rows:
                idle = now - row["changed_at"]
                fate = records.Fate.of_row(row)
                if row["status"] == ChunkStatus.LEASED:
                    if not self._is_dead(row["owner"]) and idle < lease_seconds:
                        continue
                    fate = fate.after_death()
                elif idle < resend_after_seconds * min(2 ** max(0, row["sendings"] - 1), _MAX_RESEND_FACTOR):
                    continue
                execute(
                    "UPDATE chunks SET status = 'sent', token = NULL, owner = NULL, changed_at = ?,"
                    " sendings = sendings + 1, deaths = ?, watched_row = NULL, suspect_row = ?, guilty_rows = ?"
                    " WHERE job_id = ? AND chunk_index = ?",
                    (now, *fate.columns(), job_id, row["chunk_index"]),
                )
                found.append(row["chunk_index"])
        return found


class _SqliteWork:
    def __init__(self, ledger: Leases, claim: Claim) -> None:
        self._ledger = ledger
        self._claim = claim

    @property
    def row_guard(self) -> None:
        return None

    def commit(self, outcome: ChunkOutcome) -> None:
        self._ledger.commit_chunk(self._claim, outcome)

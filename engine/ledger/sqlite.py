"""The ledger in one SQLite file, for all processes of one machine.

Write-ahead logging with synchronous=NORMAL: a commit survives the death of any process; the last
ones may be lost with the machine's power, after which their chunks run again. Such a ledger cannot
hold the handler's own writes in its transaction, so handlers run at least once here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from engine.errors import JobNotFoundError, LeaseLostError
from engine.failure_messages import sum_messages
from engine.ledger import owner as owners
from engine.ledger import records
from engine.ledger.protocol import ChunkWork
from engine.ledger.sqlite_file import SqliteFile
from engine.model import Chunk, ChunkOutcome, ChunkState, Claim, Counts, Job, Plan, Source, Turn
from engine.status import ChunkStatus, Phase, Status, check_transition

#: A message that was not picked up is sent again after the given time, then after twice as long, and
#: so on up to this factor, so that a long queue is not filled with copies.
_MAX_RESEND_FACTOR = 16
#: Chunks read at once, so that a job of a million chunks neither fills the memory nor holds a transaction open.
_PAGE_CHUNKS = 1_000


class SqliteLedger:
    """See `engine.ledger.protocol.Ledger`; one instance may be used by several threads."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.time,
        is_dead: Callable[[str], bool | None] = owners.is_dead,
    ) -> None:
        """Open or create the file.

        Raises:
            LedgerError: the file cannot be opened, or is not a ledger.
        """
        self._clock = clock
        self._is_dead = is_dead
        self._file = SqliteFile(path)

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file.path}"

    def close(self) -> None:
        self._file.close()

    # Jobs

    def create_job(self, job: Job) -> None:
        columns = records.job_columns(job)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        with self._file.transaction() as execute:
            execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608 - own names

    def job(self, job_id: str) -> Job:
        rows = self._file.read("SELECT * FROM jobs WHERE job_id = ?", job_id)
        if not rows:
            raise JobNotFoundError(f"There is no job {job_id} in {self.url}.", job_id=job_id)
        return records.job_from_row(rows[0], now=self._clock())

    def jobs(self, *, unfinished_only: bool = False) -> list[Job]:
        where = "WHERE status IN ('queued', 'running')" if unfinished_only else ""
        rows = self._file.read(f"SELECT * FROM jobs {where} ORDER BY created_at DESC, rowid DESC")  # noqa: S608 - own names
        return [records.job_from_row(row, now=self._clock()) for row in rows]

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
        columns = {
            "status": str(status),
            "phase": phase and str(phase),
            "owner": owner,
            "heartbeat_at": self._clock(),
            **records.change_columns(changes),
        }
        assignments = ", ".join(f"{name} = ?" for name in columns)
        states = " OR ".join("(status = ? AND phase IS ?)" for _ in expected)
        values = [str(value) if value is not None else None for pair in expected for value in pair]
        with self._file.transaction() as execute:
            done = execute(
                f"UPDATE jobs SET {assignments} WHERE job_id = ? AND ({states})"  # noqa: S608 - own names
                " AND coalesce(owner, '') = coalesce(?, owner, '')",
                (*columns.values(), job_id, *values, expected_owner),
            )
            return done.rowcount == 1

    def job_heartbeat(self, job_id: str, owner: str) -> None:
        with self._file.transaction() as execute:
            execute("UPDATE jobs SET heartbeat_at = ? WHERE job_id = ? AND owner = ?", (self._clock(), job_id, owner))

    def save_source(self, job_id: str, source: Source) -> None:
        with self._file.transaction() as execute:
            execute(
                "UPDATE jobs SET source_bytes = ?, source_etag = ? WHERE job_id = ?",
                (source.size_bytes, source.etag, job_id),
            )

    def save_plan(self, job_id: str, plan: Plan) -> None:
        with self._file.transaction() as execute:
            execute("UPDATE jobs SET plan = ? WHERE job_id = ?", (records.plan_json(plan), job_id))

    def request_cancel(self, job_id: str) -> bool:
        with self._file.transaction() as execute:
            done = execute(
                "UPDATE jobs SET cancel_requested = 1 WHERE job_id = ? AND status IN ('queued', 'running')", (job_id,)
            )
            if done.rowcount == 1:
                return True
            self._check_exists(execute, job_id)
            return False

    def set_paused(self, job_id: str, paused: bool) -> bool:
        with self._file.transaction() as execute:
            done = execute(
                "UPDATE jobs SET paused = ? WHERE job_id = ? AND status IN ('queued', 'running')", (paused, job_id)
            )
            if done.rowcount != 1:
                self._check_exists(execute, job_id)
                return False
            if not paused:
                execute(
                    "UPDATE chunks SET status = 'planned', sendings = 0 WHERE job_id = ? AND status = 'sent'",
                    (job_id,),
                )
            return True

    # Chunks

    def add_chunks(self, job_id: str, chunks: Sequence[Chunk]) -> None:
        with self._file.transaction() as execute:
            for chunk in chunks:
                execute(
                    "INSERT OR IGNORE INTO chunks (job_id, chunk_index, byte_start, byte_end, first_row_index,"
                    " row_count, first_line_number, irregular, crc32) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (job_id, *records.chunk_values(chunk)),
                )

    def enlarge_chunks(self, job_id: str, enlarge: Callable[[Sequence[Chunk]], Sequence[Chunk]]) -> int:
        with self._file.transaction() as execute:
            waiting = execute(
                "SELECT * FROM chunks WHERE job_id = ? AND status IN ('planned', 'sent') AND attempt = 0"
                " ORDER BY chunk_index",
                (job_id,),
            ).fetchall()
            chunks = [records.chunk_from_row(row) for row in waiting]
            larger = enlarge(chunks)
            for chunk in larger:
                execute(
                    "UPDATE chunks SET byte_end = ?, row_count = ?, irregular = ?, crc32 = ?"
                    " WHERE job_id = ? AND chunk_index = ?",
                    (chunk.byte_end, chunk.row_count, int(chunk.irregular), chunk.crc32, job_id, chunk.chunk_index),
                )
            empty = records.taken_in(chunks, larger)
            for chunk_index in empty:
                execute(
                    "UPDATE chunks SET byte_start = byte_end, row_count = 0, status = 'done', changed_at = ?"
                    " WHERE job_id = ? AND chunk_index = ?",
                    (self._clock(), job_id, chunk_index),
                )
            return len(empty)

    def send_chunks(self, job_id: str, *, window: int) -> list[int]:
        with self._file.transaction() as execute:
            (in_flight,) = execute(
                "SELECT count(*) FROM chunks WHERE job_id = ? AND status IN ('sent', 'leased')", (job_id,)
            ).fetchone()
            rows = execute(
                "UPDATE chunks SET status = 'sent', changed_at = ?, sendings = 1 WHERE job_id = ? AND chunk_index IN"
                " (SELECT chunk_index FROM chunks WHERE job_id = ? AND status = 'planned'"
                "  ORDER BY chunk_index LIMIT ?) RETURNING chunk_index",
                (self._clock(), job_id, job_id, max(0, window - in_flight)),
            ).fetchall()
            return sorted(row["chunk_index"] for row in rows)

    def next_turn(self, *, longest_waiting: bool = False) -> Turn | None:
        order = "since" if longest_waiting else "in_hand, coalesce(next_chunk, 0)"
        query = (
            "SELECT job_id, next_chunk FROM (SELECT job_id, status, created_at, rowid AS number,"
            " (SELECT min(chunk_index) FROM chunks c WHERE c.job_id = j.job_id AND c.status = 'sent') AS next_chunk,"
            " coalesce((SELECT changed_at FROM chunks c WHERE c.job_id = j.job_id AND c.status = 'sent'"
            "  ORDER BY chunk_index LIMIT 1), created_at) AS since,"
            " (SELECT count(*) FROM chunks c WHERE c.job_id = j.job_id AND c.status = 'leased') AS in_hand"
            " FROM jobs j WHERE status IN ('queued', 'running')"
            " AND coalesce(phase, '') IN ('', 'scanning', 'processing')"
            " AND NOT cancel_requested AND NOT paused AND error_code IS NULL)"
            " WHERE status = 'queued' OR next_chunk IS NOT NULL"
        )
        rows = self._file.read(f"{query} ORDER BY {order}, created_at, number LIMIT 1")
        return Turn(job_id=rows[0]["job_id"], chunk_index=rows[0]["next_chunk"]) if rows else None

    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str) -> Claim | None:
        with self._file.transaction() as execute:
            row = execute(
                "SELECT c.* FROM chunks c JOIN jobs j USING (job_id) WHERE c.job_id = ? AND c.chunk_index = ?"
                " AND j.status = 'running' AND j.phase IN ('scanning', 'processing') AND NOT j.cancel_requested"
                " AND NOT j.paused AND j.error_code IS NULL",
                (job_id, chunk_index),
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
            raise _lease_lost(claim)

    @contextmanager
    def work(self, claim: Claim, *, atomic: bool = True) -> Iterator[ChunkWork]:  # noqa: ARG002 - never atomic here
        yield _SqliteWork(self, claim)

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
                "SELECT * FROM chunks WHERE job_id = ? AND status IN ('sent', 'leased') ORDER BY chunk_index", (job_id,)
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

    def drop_chunks(self, job_id: str) -> None:
        with self._file.transaction() as execute:
            execute(
                "UPDATE chunks SET status = 'dropped' WHERE job_id = ? AND status IN ('planned', 'sent')", (job_id,)
            )

    def restore_chunks(self, job_id: str) -> None:
        with self._file.transaction() as execute:
            execute("UPDATE chunks SET status = 'planned' WHERE job_id = ? AND status = 'dropped'", (job_id,))

    def chunk_states(self, job_id: str) -> Iterator[ChunkState]:
        query = "SELECT * FROM chunks WHERE job_id = ? AND chunk_index > ? ORDER BY chunk_index LIMIT ?"
        last = -1
        while rows := self._file.read(query, job_id, last, _PAGE_CHUNKS):
            now = self._clock()
            for row in rows:
                yield records.chunk_state_from_row(row, now=now)
            last = rows[-1]["chunk_index"]

    def outcome(self, job_id: str, chunk_index: int) -> ChunkOutcome | None:
        rows = self._file.read("SELECT * FROM chunks WHERE job_id = ? AND chunk_index = ?", job_id, chunk_index)
        return records.chunk_state_from_row(rows[0], now=self._clock()).outcome if rows else None

    def done_outcomes(self, job_id: str, chunk_indexes: range) -> Sequence[tuple[int, ChunkOutcome]] | None:
        query = "SELECT * FROM chunks WHERE job_id = ? AND chunk_index >= ? AND chunk_index < ? ORDER BY chunk_index"
        rows = self._file.read(query, job_id, chunk_indexes.start, chunk_indexes.stop)
        states = [records.chunk_state_from_row(row, now=self._clock()) for row in rows]
        found = [(state.chunk.chunk_index, state.outcome) for state in states if state.outcome is not None]
        return found if len(found) == len(states) else None

    def unfinished_chunks(self, job_id: str) -> int:
        query = "SELECT count(*) FROM chunks WHERE job_id = ? AND status NOT IN ('done', 'dropped')"
        return int(self._file.read(query, job_id)[0][0])

    def begun_chunks(self, job_id: str) -> int:
        query = "SELECT count(*) FROM chunks WHERE job_id = ? AND status IN ('leased', 'done')"
        return int(self._file.read(query, job_id)[0][0])

    def messages(self, job_id: str) -> Mapping[str, int]:
        outcomes = (state.outcome for state in self.chunk_states(job_id))
        return sum_messages(outcome.messages for outcome in outcomes if outcome is not None)

    def counts(self, job_id: str) -> Counts:
        query = (
            "SELECT total(success_count) AS success, total(failure_count) AS failure"
            " FROM chunks WHERE job_id = ? AND status = 'done'"
        )
        (row,) = self._file.read(query, job_id)
        return Counts(success_count=int(row["success"]), failure_count=int(row["failure"]))

    def counts_by_chunk(self, job_id: str) -> Mapping[int, Counts]:
        query = "SELECT chunk_index, success_count, failure_count FROM chunks WHERE job_id = ? AND status = 'done'"
        return {
            row["chunk_index"]: Counts(success_count=row["success_count"], failure_count=row["failure_count"])
            for row in self._file.read(query, job_id)
        }

    # What the attempts of a chunk need

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
            raise _lease_lost(claim)

    def _check_exists(self, execute: Callable[..., Any], job_id: str) -> None:
        if execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is None:
            raise JobNotFoundError(f"There is no job {job_id} in {self.url}.", job_id=job_id)

    def _update_leased(self, claim: Claim, assignments: str, *values: Any) -> bool:
        with self._file.transaction() as execute:
            done = execute(
                f"UPDATE chunks SET {assignments}"  # noqa: S608 - own names
                " WHERE job_id = ? AND chunk_index = ? AND status = 'leased' AND token = ?",
                (*values, claim.job_id, claim.chunk.chunk_index, claim.token),
            )
            return done.rowcount == 1


class _SqliteWork:
    def __init__(self, ledger: SqliteLedger, claim: Claim) -> None:
        self._ledger = ledger
        self._claim = claim

    @property
    def row_guard(self) -> None:
        return None

    def commit(self, outcome: ChunkOutcome) -> None:
        self._ledger.commit_chunk(self._claim, outcome)


def _lease_lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(
        f"Attempt {claim.attempt} of chunk {claim.chunk.chunk_index} of job {claim.job_id} lost its lease.",
        job_id=claim.job_id,
        chunk_index=claim.chunk.chunk_index,
        attempt=claim.attempt,
    )

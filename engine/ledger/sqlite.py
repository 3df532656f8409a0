"""The ledger in one SQLite file, for all processes of one machine.

Write-ahead logging with synchronous=NORMAL: a commit survives the death of any process; the last
ones may be lost with the machine's power, after which their chunks run again. Such a ledger cannot
hold the handler's own writes in its transaction, so handlers run at least once here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.errors import JobNotFoundError, LeaseLostError, LedgerError
from engine.ledger import owner as owners
from engine.ledger import records
from engine.ledger.protocol import ChunkWork
from engine.model import Chunk, ChunkOutcome, ChunkState, Claim, Counts, Job, Plan
from engine.status import ChunkStatus, Phase, Status, check_transition

#: How long a statement waits for another process's transaction; transactions here take milliseconds.
_BUSY_SECONDS = 30.0
#: A message that was not picked up is sent again after the given time, then after twice as long, and
#: so on up to this factor, so that a long queue is not filled with copies.
_MAX_RESEND_FACTOR = 16


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
        self._path = os.path.abspath(path)
        self._clock = clock
        self._is_dead = is_dead
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._file: int | None = None
        try:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._connection()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise LedgerError(
                f"The ledger {self._path} cannot be opened: {error}. Name another file with --ledger.", path=self._path
            ) from error

    @property
    def url(self) -> str:
        return f"sqlite:///{self._path}"

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    # Jobs

    def create_job(self, job: Job) -> None:
        columns = records.job_columns(job)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        with self._transaction() as execute:
            execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608

    def job(self, job_id: str) -> Job:
        row = self._connection().execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            raise JobNotFoundError(f"There is no job {job_id} in {self.url}.", job_id=job_id)
        return records.job_from_row(row, now=self._clock())

    def jobs(self, *, unfinished_only: bool = False) -> list[Job]:
        where = "WHERE status IN ('queued', 'running')" if unfinished_only else ""
        rows = self._connection().execute(f"SELECT * FROM jobs {where} ORDER BY created_at DESC, rowid DESC")  # noqa: S608
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
        with self._transaction() as execute:
            done = execute(
                f"UPDATE jobs SET {assignments} WHERE job_id = ? AND ({states}) AND owner IS coalesce(?, owner)",  # noqa: S608
                (*columns.values(), job_id, *values, expected_owner),
            )
            return done.rowcount == 1

    def job_heartbeat(self, job_id: str, owner: str) -> None:
        with self._transaction() as execute:
            execute("UPDATE jobs SET heartbeat_at = ? WHERE job_id = ? AND owner = ?", (self._clock(), job_id, owner))

    def save_plan(self, job_id: str, plan: Plan) -> None:
        with self._transaction() as execute:
            execute("UPDATE jobs SET plan = ? WHERE job_id = ?", (records.plan_json(plan), job_id))

    def request_cancel(self, job_id: str) -> bool:
        with self._transaction() as execute:
            done = execute(
                "UPDATE jobs SET cancel_requested = 1 WHERE job_id = ? AND status IN ('queued', 'running')", (job_id,)
            )
            if done.rowcount == 1:
                return True
            if execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is None:
                raise JobNotFoundError(f"There is no job {job_id} in {self.url}.", job_id=job_id)
            return False

    # Chunks

    def add_chunks(self, job_id: str, chunks: Sequence[Chunk]) -> None:
        with self._transaction() as execute:
            for chunk in chunks:
                execute(
                    "INSERT OR IGNORE INTO chunks (job_id, chunk_index, byte_start, byte_end, first_row_index,"
                    " row_count, first_line_number, irregular) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (job_id, *records.chunk_values(chunk)),
                )

    def send_chunks(self, job_id: str, *, window: int) -> list[int]:
        with self._transaction() as execute:
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

    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str) -> Claim | None:
        with self._transaction() as execute:
            row = execute(
                "SELECT c.* FROM chunks c JOIN jobs j USING (job_id) WHERE c.job_id = ? AND c.chunk_index = ?"
                " AND j.status = 'running' AND j.phase IN ('scanning', 'processing') AND NOT j.cancel_requested",
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

    def heartbeat(self, claim: Claim) -> bool:
        return self._update_leased(claim, "changed_at = ?", self._clock())

    def watch_row(self, claim: Claim, row_index: int) -> None:
        if not self._update_leased(claim, "watched_row = ?, changed_at = ?", row_index, self._clock()):
            raise _lease_lost(claim)

    @contextmanager
    def work(self, claim: Claim) -> Iterator[ChunkWork]:
        yield _SqliteWork(self, claim)

    def release(self, claim: Claim) -> None:
        self._update_leased(
            claim, "status = 'planned', attempt = attempt - 1, token = NULL, owner = NULL, watched_row = NULL"
        )

    def take_back(self, job_id: str, *, lease_seconds: float, resend_after_seconds: float) -> list[int]:
        now = self._clock()
        found: list[int] = []
        with self._transaction() as execute:
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
        with self._transaction() as execute:
            execute(
                "UPDATE chunks SET status = 'dropped' WHERE job_id = ? AND status IN ('planned', 'sent')", (job_id,)
            )

    def chunk_states(self, job_id: str) -> Iterator[ChunkState]:
        now = self._clock()
        query = "SELECT * FROM chunks WHERE job_id = ? ORDER BY chunk_index"
        for row in self._connection().execute(query, (job_id,)):
            yield records.chunk_state_from_row(row, now=now)

    def unfinished_chunks(self, job_id: str) -> int:
        query = "SELECT count(*) FROM chunks WHERE job_id = ? AND status NOT IN ('done', 'dropped')"
        return int(self._connection().execute(query, (job_id,)).fetchone()[0])

    def counts(self, job_id: str) -> Counts:
        query = (
            "SELECT total(success_count) AS success, total(failure_count) AS failure"
            " FROM chunks WHERE job_id = ? AND status = 'done'"
        )
        row = self._connection().execute(query, (job_id,)).fetchone()
        return Counts(success_count=int(row["success"]), failure_count=int(row["failure"]))

    def counts_by_chunk(self, job_id: str) -> Mapping[int, Counts]:
        query = "SELECT chunk_index, success_count, failure_count FROM chunks WHERE job_id = ? AND status = 'done'"
        return {
            row["chunk_index"]: Counts(success_count=row["success_count"], failure_count=row["failure_count"])
            for row in self._connection().execute(query, (job_id,))
        }

    # Connections

    def commit_chunk(self, claim: Claim, outcome: ChunkOutcome) -> None:
        """Mark the chunk done if the attempt still holds it. Raises LeaseLostError."""
        success, failed = outcome.success_part, outcome.failed_part
        if not self._update_leased(
            claim,
            "status = 'done', owner = NULL, watched_row = NULL, changed_at = ?, success_count = ?, failure_count = ?,"
            " success_key = ?, success_bytes = ?, failed_key = ?, failed_bytes = ?",
            self._clock(),
            outcome.counts.success_count,
            outcome.counts.failure_count,
            success and success.key,
            success and success.size_bytes,
            failed and failed.key,
            failed and failed.size_bytes,
        ):
            raise _lease_lost(claim)

    def _update_leased(self, claim: Claim, assignments: str, *values: Any) -> bool:
        with self._transaction() as execute:
            done = execute(
                f"UPDATE chunks SET {assignments}"  # noqa: S608
                " WHERE job_id = ? AND chunk_index = ? AND status = 'leased' AND token = ?",
                (*values, claim.job_id, claim.chunk.chunk_index, claim.token),
            )
            return done.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        connection = self._connection()
        try:
            # Immediate: two processes that both read first and write later would otherwise fail each other.
            connection.execute("BEGIN IMMEDIATE")
            yield connection.execute
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise LedgerError(f"The ledger {self._path} cannot be written: {error}.", path=self._path) from error
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that the path names now."""
        if self._process != os.getpid():
            # SQLite forbids carrying a connection over a fork; the parent's are left alone, not closed.
            self._connections, self._local, self._process = [], threading.local(), os.getpid()
        elif self._file is not None and self._file != self._file_now():
            # Somebody removed the file, and maybe a new run made another: what is open is nobody's any more.
            self.close()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connections.append(connection)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            if self._file != self._file_now():
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(files("engine.ledger").joinpath("schema.sql").read_text())
                self._file = self._file_now()
            self._local.connection = connection
        return connection

    def _file_now(self) -> int | None:
        try:
            return os.stat(self._path).st_ino
        except FileNotFoundError:
            return None


class _SqliteWork:
    def __init__(self, ledger: SqliteLedger, claim: Claim) -> None:
        self._ledger = ledger
        self._claim = claim

    def row_guard(self) -> nullcontext[None]:
        return nullcontext()

    def commit(self, outcome: ChunkOutcome) -> None:
        self._ledger.commit_chunk(self._claim, outcome)


def _lease_lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(
        f"Attempt {claim.attempt} of chunk {claim.chunk.chunk_index} of job {claim.job_id} lost its lease.",
        job_id=claim.job_id,
        chunk_index=claim.chunk.chunk_index,
        attempt=claim.attempt,
    )

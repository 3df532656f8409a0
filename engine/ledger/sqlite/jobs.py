"""Jobs: written, read, moved on by compare-and-set, handed over, cancelled, paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import JobNotFoundError
from engine.ledger import records
from engine.ledger.sqlite.books import UNSEND, Books
from engine.model import Job, Plan, Source
from engine.status import Phase, Status, check_transition


class JobBooks(Books):
    """The table `jobs`."""

    def create_job(self, job: Job, *, check: Callable[[], None] = lambda: None) -> None:
        columns = records.job_columns(job)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        with self._file.transaction() as execute:
            check()
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
        # Whoever names himself begins a scan or a merge; all others only say what has become of one.
        begins = owner is not None and owner != expected_owner
        states = " OR ".join("(status = ? AND phase IS ?)" for _ in expected)
        values = [str(value) if value is not None else None for pair in expected for value in pair]
        with self._file.transaction() as execute:
            done = execute(
                f"UPDATE jobs SET {assignments} WHERE job_id = ? AND ({states})"  # noqa: S608 - own names
                " AND coalesce(owner, '') = coalesce(?, owner, '') AND executor = coalesce(?, executor)",
                (*columns.values(), job_id, *values, expected_owner, self._executor if begins else None),
            )
            return done.rowcount == 1

    def job_heartbeat(self, job_id: str, owner: str) -> None:
        with self._file.transaction() as execute:
            execute("UPDATE jobs SET heartbeat_at = ? WHERE job_id = ? AND owner = ?", (self._clock(), job_id, owner))

    def save_source(self, job_id: str, source: Source, *, scanner: str | None = None) -> bool:
        with self._file.transaction() as execute:
            if not self._may_scan(execute, job_id, scanner):
                return False
            execute(
                "UPDATE jobs SET source_bytes = ?, source_etag = ? WHERE job_id = ?",
                (source.size_bytes, source.etag, job_id),
            )
            return True

    def save_plan(self, job_id: str, plan: Plan, *, scanner: str | None = None) -> bool:
        with self._file.transaction() as execute:
            if not self._may_scan(execute, job_id, scanner):
                return False
            execute("UPDATE jobs SET plan = ? WHERE job_id = ?", (records.plan_json(plan), job_id))
            return True

    def hand_over(self, job_id: str) -> None:
        """Make the job that of this handle's executor. Chunks that the other one has in hand still end, and count.

        Those that were sent and not begun become planned: their messages went to the other one.
        """
        with self._file.transaction() as execute:
            execute("UPDATE jobs SET executor = coalesce(?, executor) WHERE job_id = ?", (self._executor, job_id))
            execute(UNSEND, (job_id,))

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
                execute(UNSEND, (job_id,))
            return True

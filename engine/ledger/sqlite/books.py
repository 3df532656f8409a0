"""What every part of the ledger has at hand: the file, whose processes it is open for, the clock, and who is dead."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from engine.errors import JobNotFoundError, LeaseLostError
from engine.ledger import owner as owners
from engine.ledger.sqlite.file import SqliteFile
from engine.model import Claim, ExecutorName

#: Makes chunks that were sent and not begun planned again: their messages may be lost, or another executor's.
UNSEND = "UPDATE chunks SET status = 'planned', sendings = 0 WHERE job_id = ? AND status = 'sent'"


class Books:
    """One instance may be used by several threads."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        executor: ExecutorName | None = None,
        clock: Callable[[], float] = time.time,
        is_dead: Callable[[str], bool | None] = owners.is_dead,
    ) -> None:
        """Open or create the file.

        Args:
            executor: for whose processes it is opened: no scan, chunk or merge of another one's job is begun by it, not
                even where that job was handed over a moment ago. None to ask, and to steer jobs of both.

        Raises:
            LedgerError: the file cannot be opened, or is not a ledger.
        """
        self._executor = executor
        self._clock = clock
        self._is_dead = is_dead
        self._file = SqliteFile(path)

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file.path}"

    def close(self) -> None:
        self._file.close()

    def _may_scan(self, execute: Callable[..., Any], job_id: str, scanner: str | None) -> bool:
        """Whether nobody in particular asks, or who asks is the one that scans the job."""
        query = "SELECT 1 FROM jobs WHERE job_id = ? AND status = 'running' AND phase = 'scanning' AND owner = ?"
        return scanner is None or execute(query, (job_id, scanner)).fetchone() is not None

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


def lease_lost(claim: Claim) -> LeaseLostError:
    """The error of an attempt whose chunk is another's."""
    return LeaseLostError(
        f"Attempt {claim.attempt} of chunk {claim.chunk.chunk_index} of job {claim.job_id} lost its lease.",
        job_id=claim.job_id,
        chunk_index=claim.chunk.chunk_index,
        attempt=claim.attempt,
    )

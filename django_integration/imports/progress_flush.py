"""Writing the live counters to the database now and then, for whoever looks at the job there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from django.db import Error as DatabaseError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from django_integration.imports.models import ImportJob
from django_integration.imports.side_connection import SideConnection
from engine.model import Counts
from engine.options import DEFAULT_BATCH_SIZE
from engine.progress import ProgressSnapshot, ProgressStore

logger = logging.getLogger(__name__)


class FlushingProgress:
    """A ProgressStore that passes everything on, and after every N batches writes the job's counts to its row.

    The write goes through a connection of its own: inside the chunk's transaction it would hold the
    job's row until the chunk ends. SQLite allows one writer, so there it waits for the chunk's end. A job's row that is
    locked is left for another time; a database that does not take the counts is logged, never an error of the chunk.
    """

    def __init__(
        self, store: ProgressStore, *, every_n_batches: int, using: str, batch_size_of: Callable[[str], int]
    ) -> None:
        """
        Args:
            every_n_batches: batches of one process between two writes.
            batch_size_of: job_id → rows of a batch.
        """
        self._store = store
        self._every_n_batches = max(1, every_n_batches)
        self._using = using
        self._batch_size_of = batch_size_of
        self._batch_size = ("", 0)  # of the job in hand
        self._seen: dict[tuple[str, int, int], int] = {}
        self._unwritten: Counter[str] = Counter()
        self._side = SideConnection(using)

    def begin(
        self,
        job_id: str,
        *,
        total_rows: int | None,
        done: Mapping[int, Counts] | None = None,
        only_if_missing: bool = False,
    ) -> None:
        """As the protocol has it."""
        self._store.begin(job_id, total_rows=total_rows, done=done, only_if_missing=only_if_missing)

    def set_total(self, job_id: str, total_rows: int) -> None:
        """As the protocol has it."""
        self._store.set_total(job_id, total_rows)

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """As the protocol has it; then writes to the database when it is time."""
        answer = self._store.record(job_id, chunk_index, attempt, counts, done=done)
        self._count_batches(job_id, (job_id, chunk_index, attempt), counts, done=done)
        if self._unwritten[job_id] >= self._every_n_batches and self._may_write():
            self._unwritten[job_id] = 0
            self._write(job_id)
        return answer

    def request_cancel(self, job_id: str) -> None:
        """As the protocol has it."""
        self._store.request_cancel(job_id)

    def snapshot(self, job_id: str) -> ProgressSnapshot | None:
        """As the protocol has it."""
        return self._store.snapshot(job_id)

    def clear(self, job_id: str) -> None:
        """As the protocol has it."""
        self._store.clear(job_id)

    def _count_batches(self, job_id: str, attempt: tuple[str, int, int], counts: Counts, *, done: bool) -> None:
        size_of_job, batch_size = self._batch_size
        if size_of_job != job_id:
            batch_size = self._batch_size_of(job_id)
            self._batch_size = job_id, batch_size  # at once: another thread may have another job in hand
        batches = -(-counts.processed_rows // (batch_size or DEFAULT_BATCH_SIZE))
        self._unwritten[job_id] += max(0, batches - self._seen.get(attempt, 0))
        self._seen[attempt] = batches
        if done:
            self._seen.pop(attempt, None)

    def _may_write(self) -> bool:
        connection = connections[self._using]
        return connection.vendor != "sqlite" or not connection.in_atomic_block

    def _write(self, job_id: str) -> None:
        snapshot = self._store.snapshot(job_id)
        if snapshot is None:
            return
        table, counts = ImportJob._meta.db_table, snapshot.counts
        connection = connections[self._using]
        # SQLite has one writer.
        cursors = connection.cursor if connection.vendor == "sqlite" else self._side.cursor
        try:
            with cursors() as cursor:
                if not _is_free(cursor, connection, job_id):
                    return  # a later write has the newer counts
                # Only of a running job: the counts of an ended one are final.
                cursor.execute(
                    f"UPDATE {table} SET processed_rows = %s, success_count = %s, failure_count = %s"  # noqa: S608 - own names
                    " WHERE id = %s AND status = 'running'",
                    [counts.processed_rows, counts.success_count, counts.failure_count, _uuid(job_id, connection)],
                )
        except DatabaseError:  # a convenience: the job's end writes them exactly
            logger.warning("counts not written", extra={"job_id": job_id}, exc_info=True)


#: By vendor: has a query pass over a row that could not be changed at once.
_PASS_OVER = {"postgresql": "FOR NO KEY UPDATE SKIP LOCKED", "mysql": "FOR UPDATE SKIP LOCKED"}


def _is_free(cursor: CursorWrapper, connection: BaseDatabaseWrapper, job_id: str) -> bool:
    """Whether nobody has locked the job's row.

    The very chunk that this thread runs may have, by a handler that changes the row, or on MySQL writes a record that
    points at it: no database sees that one connection waits for another of the same thread.
    """
    can_tell = connection.features.has_select_for_update_skip_locked
    clause = _PASS_OVER.get(connection.vendor, "") if can_tell else ""
    cursor.execute(
        f"SELECT 1 FROM {ImportJob._meta.db_table} WHERE id = %s {clause}",  # noqa: S608 - own names
        [_uuid(job_id, connection)],
    )
    return cursor.fetchone() is not None


def _uuid(job_id: str, connection: BaseDatabaseWrapper) -> str:
    """The id as the database keeps it."""
    return job_id if connection.features.has_native_uuid_field else job_id.replace("-", "")

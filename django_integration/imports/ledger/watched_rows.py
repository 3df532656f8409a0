"""Where the row is remembered that is about to run, outside the transaction that may die with it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

from django.db import connections

from django_integration.imports.models import ImportChunk, WatchedRow
from django_integration.imports.side_connection import SideConnection

#: Stands for none: the first row is 1.
_NO_ROW = 0


class WatchedRows:
    """Written by watched attempts only, those of chunks on which two processes died.

    On a database server a table, through a connection of its own. SQLite allows one writer, and the
    attempt is that writer already; there a small file beside the database serves.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._side = SideConnection(using)

    def write(self, job_id: str, chunk_index: int, row_index: int | None) -> None:
        """Remember a row, or with None forget it. Durable when this returns."""
        path = self._path(job_id, chunk_index)
        if path is not None:
            if row_index is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_text(str(row_index))
            return
        if row_index is None:
            WatchedRow.objects.using(self._using).filter(
                chunk__job_id=UUID(job_id), chunk__chunk_index=chunk_index
            ).delete()
            return
        table = WatchedRow._meta.db_table
        values = [row_index, self._chunk_id(job_id, chunk_index)]
        # Nobody else writes it: the chunk is leased to this attempt.
        with self._side.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET row_index = %s WHERE chunk_id = %s", values)  # noqa: S608 - our own
            if not cursor.rowcount:
                cursor.execute(f"INSERT INTO {table} (row_index, chunk_id) VALUES (%s, %s)", values)  # noqa: S608 - the same

    def prepare(self, job_id: str, chunk_index: int) -> None:
        """Have rows of an attempt remembered that is about to begin its transaction.

        On MySQL, where a record that is new cannot be written once that has locked the chunk it points at.
        """
        if connections[self._using].vendor == "mysql":
            self.write(job_id, chunk_index, _NO_ROW)

    def read(self, job_id: str, chunk_index: int) -> int | None:
        """The remembered row."""
        path = self._path(job_id, chunk_index)
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text())
            return None
        found = WatchedRow.objects.using(self._using).filter(chunk__job_id=UUID(job_id), chunk__chunk_index=chunk_index)
        return found.values_list("row_index", flat=True).first() or None

    def close(self) -> None:
        """Close the connection of its own; a later call makes a new one."""
        self._side.close()

    def _path(self, job_id: str, chunk_index: int) -> Path | None:
        connection = connections[self._using]
        if connection.vendor != "sqlite":
            return None
        return Path(f"{connection.settings_dict['NAME']}.watched") / f"{job_id}-{chunk_index}"

    def _chunk_id(self, job_id: str, chunk_index: int) -> int:
        chunks = ImportChunk.objects.using(self._using).filter(job_id=UUID(job_id), chunk_index=chunk_index)
        return chunks.values_list("pk", flat=True).get()

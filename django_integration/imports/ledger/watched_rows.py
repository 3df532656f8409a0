"""Where the row is remembered that is about to run, outside the transaction that may die with it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

from django.db import connections

from django_integration.imports.models import ImportChunk, WatchedRow
from django_integration.imports.side_connection import SideConnection


class WatchedRows:
    """Written by watched attempts only, those of chunks on which two processes died.

    On PostgreSQL a table, through a connection of its own. SQLite allows one writer, and the
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
        with self._side.cursor() as cursor:
            chunk, watched = ImportChunk._meta.db_table, WatchedRow._meta.db_table
            cursor.execute(
                f"INSERT INTO {watched} (chunk_id, row_index)"  # noqa: S608 - table names of our models
                f" SELECT id, %s FROM {chunk} WHERE job_id = %s AND chunk_index = %s"
                " ON CONFLICT (chunk_id) DO UPDATE SET row_index = excluded.row_index",
                [row_index, job_id, chunk_index],
            )

    def read(self, job_id: str, chunk_index: int) -> int | None:
        """The remembered row."""
        path = self._path(job_id, chunk_index)
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text())
            return None
        found = WatchedRow.objects.using(self._using).filter(chunk__job_id=UUID(job_id), chunk__chunk_index=chunk_index)
        return found.values_list("row_index", flat=True).first()

    def close(self) -> None:
        """Close the connection of its own; a later call makes a new one."""
        self._side.close()

    def _path(self, job_id: str, chunk_index: int) -> Path | None:
        connection = connections[self._using]
        if connection.vendor != "sqlite":
            return None
        return Path(f"{connection.settings_dict['NAME']}.watched") / f"{job_id}-{chunk_index}"

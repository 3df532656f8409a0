"""Chunks on their way to a worker: planned, sent within the window, due next, dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.ledger import records
from engine.ledger.sqlite.books import Books
from engine.model import Chunk, Turn


class Dispatch(Books):
    """What is sent, and whose turn it is."""

    def add_chunks(self, job_id: str, chunks: Sequence[Chunk], *, scanner: str | None = None) -> bool:
        with self._file.transaction() as execute:
            if not self._may_scan(execute, job_id, scanner):
                return False
            for chunk in chunks:
                execute(
                    "INSERT OR IGNORE INTO chunks (job_id, chunk_index, byte_start, byte_end, first_row_index,"
                    " row_count, first_line_number, irregular, crc32) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (job_id, *records.chunk_values(chunk)),
                )
            return True

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
                "  ORDER BY chunk_index LIMIT ?)"
                " AND (SELECT executor = coalesce(?, executor) FROM jobs WHERE job_id = ?) RETURNING chunk_index",
                (self._clock(), job_id, job_id, max(0, window - in_flight), self._executor, job_id),
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
            " AND NOT cancel_requested AND NOT paused AND error_code IS NULL AND executor = coalesce(?, executor))"
            " WHERE status = 'queued' OR next_chunk IS NOT NULL"
        )
        rows = self._file.read(f"{query} ORDER BY {order}, created_at, number LIMIT 1", self._executor)
        return Turn(job_id=rows[0]["job_id"], chunk_index=rows[0]["next_chunk"]) if rows else None

    def drop_chunks(self, job_id: str) -> None:
        with self._file.transaction() as execute:
            execute(
                "UPDATE chunks SET status = 'dropped' WHERE job_id = ? AND status IN ('planned', 'sent')", (job_id,)
            )

    def restore_chunks(self, job_id: str) -> None:
        with self._file.transaction() as execute:
            execute("UPDATE chunks SET status = 'planned' WHERE job_id = ? AND status = 'dropped'", (job_id,))

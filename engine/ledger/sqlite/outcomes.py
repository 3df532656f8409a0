"""What the chunks of a job came to, each by itself and in sum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.failure_messages import sum_messages
from engine.ledger import records
from engine.ledger.sqlite.books import Books
from engine.model import ChunkOutcome, ChunkState, Counts

#: Chunks read at once, so that a job of a million chunks neither fills the memory nor holds a transaction open.
_PAGE_CHUNKS = 1_000


class Outcomes(Books):
    """The recount: sums over committed chunks."""

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

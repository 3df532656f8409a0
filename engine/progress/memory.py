"""Live counters in the memory of one process, for local runs and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from engine.model import Counts
from engine.progress.protocol import ProgressSnapshot


@dataclass(slots=True)
class _ChunkCounts:
    attempt: int
    counts: Counts
    done: bool


@dataclass(slots=True)
class _JobCounters:
    total_rows: int | None
    success_count: int = 0
    failure_count: int = 0
    chunks: dict[int, _ChunkCounts] = field(default_factory=dict)


class MemoryProgress:
    """A ProgressStore and RowCosts for the threads of one process; it never is unavailable."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: dict[str, _JobCounters] = {}
        #: Apart from the counters, which it must outlive.
        self._cancelled: set[str] = set()
        self._costs: dict[str, tuple[int, float]] = {}

    def begin(
        self,
        job_id: str,
        *,
        total_rows: int | None,
        done: Mapping[int, Counts] | None = None,
        only_if_missing: bool = False,
    ) -> None:
        """As the protocol has it."""
        job = _JobCounters(total_rows=total_rows)
        for chunk_index, counts in (done or {}).items():
            job.chunks[chunk_index] = _ChunkCounts(0, counts, True)
            job.success_count += counts.success_count
            job.failure_count += counts.failure_count
        with self._lock:
            if not (only_if_missing and job_id in self._jobs):
                self._jobs[job_id] = job

    def set_total(self, job_id: str, total_rows: int) -> None:
        """As the protocol has it."""
        with self._lock:
            if job := self._jobs.get(job_id):
                job.total_rows = total_rows

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """As the protocol has it."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            old = job.chunks.get(chunk_index) or _ChunkCounts(0, Counts(), False)
            if not old.done and attempt >= old.attempt:
                job.chunks[chunk_index] = _ChunkCounts(attempt, counts, done)
                job.success_count += counts.success_count - old.counts.success_count
                job.failure_count += counts.failure_count - old.counts.failure_count
            return job_id in self._cancelled

    def request_cancel(self, job_id: str) -> None:
        """As the protocol has it."""
        with self._lock:
            self._cancelled.add(job_id)

    def snapshot(self, job_id: str) -> ProgressSnapshot | None:
        """As the protocol has it."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            return ProgressSnapshot(
                total_rows=job.total_rows,
                counts=Counts(success_count=job.success_count, failure_count=job.failure_count),
                cancel_requested=job_id in self._cancelled,
            )

    def clear(self, job_id: str) -> None:
        """As the protocol has it."""
        with self._lock:
            self._jobs.pop(job_id, None)
            self._cancelled.discard(job_id)

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        """As `RowCosts` has it; all counts alike, as this process's memory is no older than its run."""
        with self._lock:
            rows_before, seconds_before = self._costs.get(handler, (0, 0.0))
            self._costs[handler] = (rows_before + rows, seconds_before + seconds)

    def seconds_per_row(self, handler: str) -> float | None:
        """As `RowCosts` has it."""
        with self._lock:
            rows, seconds = self._costs.get(handler, (0, 0.0))
        return seconds / rows if rows else None

"""Jobs, chunks and outcomes for ledger tests, and the clock and the deaths they are told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

from engine.coordinator import WORKSPACE
from engine.ledger import Ledger
from engine.model import Chunk, ChunkOutcome, Counts, Dialect, Job, Part, Plan, Source
from engine.status import Phase, Status

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
#: Sources and results of all jobs are below it, as a Django ledger has them.
STORAGE_ROOT = "/data"
#: As tests call `take_back`.
LEASE_SECONDS = 20.0
RESEND_SECONDS = 15.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Deaths:
    """Which owners are gone; the others live, and of those named so it cannot be told."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.unknown: set[str] = set()

    def __call__(self, owner: str) -> bool | None:
        return None if owner in self.unknown else owner in self.dead


class LedgerFactory(Protocol):
    """Opens one more handle on this test's books, as another process would have one."""

    def __call__(self, *, clock: Clock, is_dead: Deaths) -> Ledger: ...


def source(size_bytes: int = 1000) -> Source:
    return Source(url=f"{STORAGE_ROOT}/people.csv", size_bytes=size_bytes, etag="abc-1")


def job(**changes: Any) -> Job:
    job_id = changes.get("job_id") or str(uuid.uuid4())
    output_url = f"{STORAGE_ROOT}/uploads/imports/{job_id}"
    values: dict[str, Any] = {
        "job_id": job_id,
        "source": source(),
        "handler_path": "tests.sample_handlers.accept",
        "options": {"batch_size": 500, "count_total_first": True, "custom": {"nested": [1, "two", None]}},
        "output_url": output_url,
        "workspace_url": f"{output_url}/{WORKSPACE}",
        "created_at": NOW,
    }
    return Job(**{**values, **changes})


def plan() -> Plan:
    return Plan(
        dialect=Dialect(delimiter=";", quote_char=None, encoding="cp1252"),
        header=("näme", 'with "quotes"', ""),
        column_count=3,
        data_start=17,
        readable=source(),
        form="arrow",
        details={"kind": "xlsx", "sheet": "Blätter", "first_row": 3},
    )


def chunks(count: int, *, row_count: int = 10, start: int = 0) -> list[Chunk]:
    return [
        Chunk(
            chunk_index=index,
            byte_start=100 * index,
            byte_end=100 * index + 100,
            first_row_index=1 + row_count * index,
            row_count=row_count,
            first_line_number=2 + row_count * index,
            irregular=index % 2 == 1,
            crc32=None if index == 1 else 2**32 - 1 - index,
        )
        for index in range(start, start + count)
    ]


def outcome(success: int = 10, failure: int = 0, *, key: str = "parts/x") -> ChunkOutcome:
    return ChunkOutcome(
        counts=Counts(success_count=success, failure_count=failure),
        success_part=Part(key=f"{key}.success.csv", size_bytes=7 * success, crc32=2**32 - 1) if success else None,
        failed_part=Part(key=f"{key}.failed.csv", size_bytes=9 * failure) if failure else None,
    )


def start(ledger: Ledger, *, chunk_count: int = 3, phase: Phase = Phase.PROCESSING, row_count: int = 10) -> str:
    """A running job whose chunks are planned."""
    new = job()
    ledger.create_job(new)
    ledger.add_chunks(new.job_id, chunks(chunk_count, row_count=row_count))
    assert ledger.move_job(new.job_id, expected=[(Status.QUEUED, None)], status=Status.RUNNING, phase=phase)
    return new.job_id


def take_back(ledger: Ledger, job_id: str) -> list[int]:
    return ledger.take_back(job_id, lease_seconds=LEASE_SECONDS, resend_after_seconds=RESEND_SECONDS)

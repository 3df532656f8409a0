"""Between the values of `model` and the columns of a ledger's tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.model import (
    Chunk,
    ChunkOutcome,
    ChunkState,
    Counts,
    Detection,
    Dialect,
    Job,
    Part,
    Plan,
    ResultFiles,
    Source,
)
from engine.status import ChunkStatus, Phase, Status

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What is known of the deaths on one chunk."""

    deaths: int = 0
    watched_row: int | None = None
    suspect_row: int | None = None
    guilty_rows: tuple[int, ...] = ()

    @classmethod
    def of_row(cls, row: Row) -> Fate:
        """Read the columns."""
        return cls(
            deaths=row["deaths"],
            watched_row=row["watched_row"],
            suspect_row=row["suspect_row"],
            guilty_rows=tuple(json.loads(row["guilty_rows"])),
        )

    def after_death(self) -> Fate:
        """One death more. A row is guilty when two processes died while it ran; one may be an accident."""
        if self.watched_row is None or self.watched_row in self.guilty_rows:
            # No row ran: a guilty one is watched as well, but not run, so that this death has another cause.
            return dataclasses.replace(self, deaths=self.deaths + 1)
        if self.watched_row == self.suspect_row:
            return Fate(deaths=self.deaths + 1, guilty_rows=(*self.guilty_rows, self.watched_row))
        return Fate(deaths=self.deaths + 1, suspect_row=self.watched_row, guilty_rows=self.guilty_rows)

    def columns(self) -> tuple[int, int | None, str]:
        """Values of deaths, suspect_row, guilty_rows."""
        return self.deaths, self.suspect_row, json.dumps(self.guilty_rows)


def job_columns(job: Job) -> dict[str, Any]:
    """The columns of a new job."""
    return {
        "job_id": job.job_id,
        "source_url": job.source.url,
        "source_bytes": job.source.size_bytes,
        "source_etag": job.source.etag,
        "handler_path": job.handler_path,
        "handler_mode": job.handler_mode,
        "options": json.dumps(dict(job.options)),
        "output_url": job.output_url,
        "workspace_url": job.workspace_url,
        "status": str(job.status),
        "phase": job.phase and str(job.phase),
        "created_at": job.created_at.timestamp(),
        "heartbeat_at": job.created_at.timestamp(),
        "retry_of": job.retry_of,
        "executor": job.executor,
    }


def job_from_row(row: Row, *, now: float) -> Job:
    """The job that a row of `jobs` holds."""
    return Job(
        job_id=row["job_id"],
        source=Source(url=row["source_url"], size_bytes=row["source_bytes"], etag=row["source_etag"]),
        handler_path=row["handler_path"],
        handler_mode=row["handler_mode"],
        options=json.loads(row["options"]),
        output_url=row["output_url"],
        workspace_url=row["workspace_url"],
        status=Status(row["status"]),
        phase=row["phase"] and Phase(row["phase"]),
        plan=plan_from_json(row["plan"]),
        total_rows=row["total_rows"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        started_at=_time(row["started_at"]),
        finished_at=_time(row["finished_at"]),
        cancel_requested=bool(row["cancel_requested"]),
        paused=bool(row["paused"]),
        counts=Counts(success_count=row["success_count"], failure_count=row["failure_count"]),
        forgiven=Counts(success_count=row["forgiven_success"], failure_count=row["forgiven_failure"]),
        result_files=ResultFiles(
            success_url=row["success_url"], failed_url=row["failed_url"], unprocessed_url=row["unprocessed_url"]
        ),
        error_code=row["error_code"],
        error_message=row["error_message"],
        retry_of=row["retry_of"],
        executor=row["executor"],
        owner=row["owner"],
        seconds_since_heartbeat=max(0.0, now - row["heartbeat_at"]),
    )


def change_columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What `Ledger.move_job` may change, as columns. Raises KeyError for anything else."""
    columns: dict[str, Any] = {}
    for name, value in changes.items():
        match name, value:
            case (("started_at" | "finished_at"), datetime()):
                columns[name] = value.timestamp()
            case (("total_rows" | "error_code" | "error_message" | "started_at" | "finished_at"), _):
                columns[name] = value
            case "counts", Counts():
                columns["success_count"] = value.success_count
                columns["failure_count"] = value.failure_count
            case "forgiven", Counts():
                columns["forgiven_success"] = value.success_count
                columns["forgiven_failure"] = value.failure_count
            case "result_files", ResultFiles():
                columns["success_url"] = value.success_url
                columns["failed_url"] = value.failed_url
                columns["unprocessed_url"] = value.unprocessed_url
            case _:
                raise KeyError(f"{name} of a job cannot be changed by move_job")
    return columns


def plan_json(plan: Plan) -> str:
    """The plan as a column."""
    return json.dumps(dataclasses.asdict(plan))


def plan_from_json(text: str | None) -> Plan | None:
    """The plan of a column."""
    if text is None:
        return None
    data = json.loads(text)
    return Plan(
        dialect=Dialect(**data["dialect"]),
        header=tuple(data["header"]),
        column_count=data["column_count"],
        data_start=data["data_start"],
        readable=Source(**data["readable"]),
        form=data.get("form", "text"),  # plans of earlier versions have neither
        details=data.get("details", {}),
        detection=_detection(data.get("detection") or {}),
        added_column=data.get("added_column"),
        chunk_rows=data.get("chunk_rows"),
        chunk_bytes=data.get("chunk_bytes"),
        sizes_guessed=data.get("sizes_guessed", False),
    )


def _detection(data: Mapping[str, Any]) -> Detection:
    texts = {name: tuple(data.get(name, ())) for name in ("preamble", "advice")}
    return Detection(**{**data, **texts})


def chunk_values(chunk: Chunk) -> tuple[int | None, ...]:
    """Values in the order of the table's columns, from chunk_index to crc32."""
    return (
        chunk.chunk_index,
        chunk.byte_start,
        chunk.byte_end,
        chunk.first_row_index,
        chunk.row_count,
        chunk.first_line_number,
        int(chunk.irregular),
        chunk.crc32,
    )


def chunk_from_row(row: Row) -> Chunk:
    """The planned chunk that a row of `chunks` holds."""
    return Chunk(
        chunk_index=row["chunk_index"],
        byte_start=row["byte_start"],
        byte_end=row["byte_end"],
        first_row_index=row["first_row_index"],
        row_count=row["row_count"],
        first_line_number=row["first_line_number"],
        irregular=bool(row["irregular"]),
        crc32=row["crc32"],
    )


def taken_in(chunks: Sequence[Chunk], larger: Sequence[Chunk]) -> list[int]:
    """Which of the chunks lie inside larger ones that begin as others of them do; both in order."""
    found, wider = [], iter(larger)
    around = next(wider, None)
    for chunk in chunks:
        while around is not None and around.byte_end <= chunk.byte_start:
            around = next(wider, None)
        if around is not None and around.byte_start < chunk.byte_start:
            found.append(chunk.chunk_index)
    return found


def chunk_state_from_row(row: Row, *, now: float) -> ChunkState:
    """The chunk with its status, and its outcome where it is done."""
    outcome = None
    if row["status"] == ChunkStatus.DONE:
        outcome = ChunkOutcome(
            counts=Counts(success_count=row["success_count"], failure_count=row["failure_count"]),
            success_part=_part(row["success_key"], row["success_bytes"], row["success_crc32"]),
            failed_part=_part(row["failed_key"], row["failed_bytes"], row["failed_crc32"]),
            messages=json.loads(row["messages"]),
        )
    return ChunkState(
        chunk=chunk_from_row(row),
        status=ChunkStatus(row["status"]),
        attempt=row["attempt"],
        owner=row["owner"],
        seconds_since_change=max(0.0, now - row["changed_at"]),
        outcome=outcome,
    )


def _part(key: str | None, size_bytes: int | None, crc32: int | None) -> Part | None:
    return None if key is None or size_bytes is None else Part(key=key, size_bytes=size_bytes, crc32=crc32)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

"""What is told of a job: the fields of the usage guide's status response. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.model import Counts, Job
from engine.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job with its counts at one moment."""

    job: Job
    counts: Counts

    @property
    def percentage(self) -> float | None:
        """Share of the rows that have an outcome, 0.0 to 100.0; None while the number of rows is unknown."""
        return percentage(self.job.total_rows, self.counts.processed_rows, is_final=self.job.status.is_final)

    @property
    def succeeded(self) -> bool:
        """Whether the job came to its end; rows that failed do not count against it."""
        return self.job.status is Status.SUCCEEDED

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them; those that only the web application knows are null."""
        job = self.job
        return {
            "id": job.job_id,
            "file_id": None,
            "source": job.source.url,
            "status": str(job.status),
            "phase": job.phase and str(job.phase),
            "celery_task_id": None,
            "created_by_id": None,
            "created_at": _iso(job.created_at),
            "started_at": _iso(job.started_at),
            "finished_at": _iso(job.finished_at),
            "total_rows": job.total_rows,
            "processed_rows": self.counts.processed_rows,
            "success_count": self.counts.success_count,
            "failure_count": self.counts.failure_count,
            "percentage": self.percentage,
            "result_files": {
                "success_file": {"file_id": None, "url": job.result_files.success_url},
                "failed_file": {"file_id": None, "url": job.result_files.failed_url},
            },
            "error_code": job.error_code,
            "error_message": job.error_message,
        }


def percentage(total_rows: int | None, processed_rows: int, *, is_final: bool) -> float | None:
    """Share of the rows that have an outcome, 0.0 to 100.0; None while the number of rows is unknown."""
    if total_rows is None:
        return None
    if total_rows == 0:
        return 100.0 if is_final else 0.0
    # Rounded down: 100 is said only when every row is through.
    return min(100.0, 10_000 * processed_rows // total_rows / 100)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

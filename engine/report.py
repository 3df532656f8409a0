"""What is told of a job: the fields of the usage guide's status response. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.model import Counts, Job, ResultFiles
from engine.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job with its counts at one moment."""

    job: Job
    counts: Counts
    errors_by_message: Mapping[str, int] = field(default_factory=dict)
    """Why rows were refused, the most frequent first; of committed chunks, and bounded (`engine.failure_messages`)."""

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
            "phase": job.shown_phase,
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
            "result_files": {name: {"file_id": None, "url": url} for name, url in self._result_urls().items()},
            "error_code": job.error_code,
            "error_message": job.error_message,
            "errors_by_message": dict(self.errors_by_message),
        }

    @property
    def result_files(self) -> ResultFiles:
        """The files of an ended job; those that an earlier end of a running one has left are not told."""
        return self.job.result_files if self.job.status.is_final else ResultFiles()

    def _result_urls(self) -> dict[str, str | None]:
        """The guide's two; the third only where there is one."""
        files = self.result_files
        urls = {"success_file": files.success_url, "failed_file": files.failed_url}
        return {**urls, "unprocessed_file": files.unprocessed_url} if files.unprocessed_url else urls


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

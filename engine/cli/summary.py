"""Reports as text for people. Pure."""

from __future__ import annotations

from engine.cli.console import visible
from engine.report import JobReport
from engine.status import Status

#: Reasons of refused rows that are shown; a report has some more.
_SHOWN_MESSAGES = 5


def summary(report: JobReport, *, seconds: float | None = None, rows: int | None = None) -> str:
    """A job in a few aligned lines.

    Args:
        seconds: how long this command worked on it.
        rows: how many of its rows were run in that time.
    """
    job, counts = report.job, report.counts
    lines = [("job", f"{job.job_id}, {_state(report)}"), ("source", visible(job.source.url))]
    total = "rows not counted yet" if job.total_rows is None else f"of {job.total_rows:,} rows"
    percentage = "" if report.percentage is None else f", {report.percentage:g} %"
    lines.append(("processed", f"{counts.processed_rows:,} {total}{percentage}"))
    lines.append(("succeeded", f"{counts.success_count:,}"))
    lines.append(("failed", f"{counts.failure_count:,}"))
    if seconds is not None and rows is not None:
        lines.append(("time", f"{seconds:.1f} s, {rows / max(seconds, 0.001):,.0f} rows/s"))
    files = report.result_files
    if files.success_url:
        lines.append(("success file", visible(files.success_url)))
    if files.failed_url:
        lines.append(("failed file", visible(files.failed_url)))
    if files.unprocessed_url:
        lines.append(("unprocessed", visible(files.unprocessed_url)))
    lines += _why(report)
    if job.error_message:
        lines.append(("error", f"{job.error_code}: {visible(job.error_message)}"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _why(report: JobReport) -> list[tuple[str, str]]:
    """The most frequent reasons of refused rows."""
    known = list(report.errors_by_message.items())
    lines = [("why", f"{visible(message)} × {count:,}") for message, count in known[:_SHOWN_MESSAGES]]
    others = report.counts.failure_count - sum(count for _, count in known[:_SHOWN_MESSAGES])
    return [*lines, ("", f"others × {others:,}")] if lines and others > 0 else lines


def _state(report: JobReport) -> str:
    job = report.job
    phase = f" ({job.shown_phase})" if job.phase else ""
    wish = ", to be cancelled" if job.cancel_requested and job.status is not Status.CANCELLED else ""
    return f"{job.status}{phase}{wish if not job.status.is_final else ''}"

"""How a command ends that did not end well: a message with its remedy, an exit code, never a traceback unasked."""

from __future__ import annotations

import traceback
from typing import Any

from engine.cli.console import tell, visible, write_json
from engine.cli.exit_codes import exit_code_of
from engine.errors import InterruptedJobError, OptionError, RowmillError, SourceError
from engine.report import JobReport
from engine.status import Status

#: Error code → what to do, where the message alone does not say it.
REMEDIES: dict[str, str] = {
    "invalid_option": "See --help for names, units and bounds.",
    "handler_not_loadable": "Give --handler as package.module.function; the current folder is searched first.",
    "source_missing": "Check the path; a relative one begins at the current folder.",
    "source_object_missing": "Check S3_ENDPOINT_URL or --s3-endpoint-url as well.",
    "source_empty": "Export the file again; a file with nothing but a header would do.",
    "output_not_writable": "Name another place with --output-dir, or have this one opened for writing.",
    "storage_access_denied": "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do with the bucket.",
    "storage_unavailable": "Check S3_ENDPOINT_URL or --s3-endpoint-url, and that the server runs.",
    "service_unavailable": "Check REDIS_URL or --redis-url, and that the server runs.",
    "job_not_found": "`rowmill status` without an id shows the newest job.",
    "inconsistent": "This should not be possible: please report it, with what `rowmill inspect` prints.",
}


def tell_failure(
    error: RowmillError,
    *,
    as_json: bool,
    source: str | None = None,
    report: JobReport | None = None,
    how_to_go_on: str | None = None,
) -> int:
    """Say on stderr what went wrong and what to do, with `as_json` also on stdout.

    Args:
        source: as it was given; for the JSON of an error that came before there was a job.
        report: the job, where there is one.
        how_to_go_on: a line about the job that was left.

    Returns:
        The exit code.
    """
    if isinstance(error, OptionError) and "usage" in error.facts:
        tell(error.usage)
    tell(f"rowmill: {visible(error.message)}")
    if remedy := REMEDIES.get(error.code):
        tell(f"rowmill: {remedy}")
    if how_to_go_on:
        tell(f"rowmill: {how_to_go_on}")
    if as_json:
        write_json(failure_document(error, source=source, report=report))
    return exit_code_of(error, has_job=report is not None)


def tell_defect(error: Exception, *, as_json: bool, debug: bool, source: str | None = None) -> int:
    """Say that the fault is rowmill's own; returns the exit code."""
    if debug:
        tell("".join(traceback.format_exception(error)).rstrip())
    text = f"{type(error).__name__}: {error}"[:500]
    remedy = "" if debug else " Run again with --debug for the traceback, and please report it."
    tell(f"rowmill: This is a defect of rowmill, not of your file: {visible(text)}.{remedy}")
    if as_json:
        write_json(failure_document(RowmillError(text), source=source, report=None))
    return RowmillError.exit_code


def failure_document(error: RowmillError, *, source: str | None, report: JobReport | None) -> dict[str, Any]:
    """The fields of a report, whether there is a job or not. An interrupted job keeps its own status."""
    document = {**_NO_JOB, "source": source} if report is None else report.to_dict()
    if not isinstance(error, InterruptedJobError):
        document["status"] = str(Status.FAILED)
    return {**document, "error_code": error.code, "error_message": error.message}


def is_worth_resuming(error: RowmillError, report: JobReport) -> bool:
    """Whether the same command with --resume has a chance, and something to save."""
    if isinstance(error, InterruptedJobError) or error.transient:
        return True
    return report.counts.processed_rows > 0 and not isinstance(error, SourceError)


#: A report's fields for an attempt that never became a job.
_NO_JOB: dict[str, Any] = {
    "id": None,
    "file_id": None,
    "source": None,
    "status": str(Status.FAILED),
    "phase": None,
    "celery_task_id": None,
    "created_by_id": None,
    "created_at": None,
    "started_at": None,
    "finished_at": None,
    "total_rows": None,
    "processed_rows": 0,
    "success_count": 0,
    "failure_count": 0,
    "percentage": None,
    "result_files": {
        "success_file": {"file_id": None, "url": None},
        "failed_file": {"file_id": None, "url": None},
    },
    "errors_by_message": {},
}

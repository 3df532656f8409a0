"""Result files are called after their source: those of one replace another's only where that is wanted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from engine.config import EngineConfig
from engine.coordinator import result_name
from engine.errors import ObjectMissingError, ResultsExistError, StorageAccessError
from engine.ledger import Ledger
from engine.model import Job
from engine.options import ImportOptions
from engine.results import ResultKind
from engine.storage import Storage

_KINDS: tuple[ResultKind | Literal["unprocessed"], ...] = ("success", "failed", "unprocessed")


def check_names_are_free(
    books: Ledger,
    source_url: str,
    options: ImportOptions,
    output: Storage,
    config: EngineConfig,
    *,
    retry_of: Job | None = None,
) -> None:
    """Let a job begin whose result files would replace none but those of its own source.

    A source that is imported again may replace what is there of it. An unfinished job has its names already. What the
    ledger does not know belongs to somebody else.

    Args:
        retry_of: the first job, where the refused rows of one are to be run.

    Raises:
        ResultsExistError: they would replace those of another source.
    """
    if not config.enable_result_files:
        return
    names = _names(source_url, options.output_format)
    jobs = books.jobs()
    mine = source_url if retry_of is None else _first_source(retry_of, jobs)
    others = [job for job in jobs if _writes(job, names, output.url)]
    for job in others:
        if not job.status.is_final and _first_source(job, jobs) != mine:
            what = f"is to be a result file of another source: {_named(job)}, is {job.status}"
            raise _refusal(
                output, names[0], job, what, "Resume or cancel that job first", is_retry=retry_of is not None
            )
    newest = max((job for job in others if job.result_files.success_url is not None), key=_ended_at, default=None)
    if newest is not None and _first_source(newest, jobs) == mine:
        return
    try:
        found = [info.key for info in output.list(names[0].removesuffix(f"success.{options.output_format}"))]
    except StorageAccessError:  # who may write need not be allowed to look
        return
    key = next((name for name in names if name in found), None)
    if key is not None:
        whose = f"another source: {_named(newest)}" if newest is not None else "a job that this ledger does not know"
        what = f"is a result file of {whose}"
        raise _refusal(output, key, newest, what, "Move that job's files away first", is_retry=retry_of is not None)


def check_failed_file_is_its_own(job: Job, books: Ledger) -> None:
    """Let an ended job pass whose failed file no later job has replaced.

    Raises:
        ObjectMissingError: one has.
    """
    names = _names(job.source.url, job.options["output_format"])
    for later in books.jobs():
        is_later = later.job_id != job.job_id and _ended_at(later) > _ended_at(job)
        if is_later and _writes(later, names, job.output_url) and later.result_files.failed_url is not None:
            raise ObjectMissingError(
                f"The failed file of job {job.job_id} has been replaced by that of job {later.job_id}, over "
                f"{later.source.url}. Retry that one, or import {job.source.url} anew.",
                job_id=job.job_id,
            )


def _names(source_url: str, output_format: str) -> list[str]:
    return [result_name(source_url, kind, output_format) for kind in _KINDS]


def _writes(job: Job, names: list[str], output_url: str) -> bool:
    return job.output_url == output_url and _names(job.source.url, job.options["output_format"]) == names


def _ended_at(job: Job) -> datetime:
    return job.finished_at or job.created_at


def _first_source(job: Job, jobs: list[Job]) -> str:
    """Of a retry that of the job whose refused rows it runs."""
    by_id = {other.job_id: other for other in jobs}
    while job.retry_of is not None and job.retry_of in by_id:
        job = by_id[job.retry_of]
    return job.source.url


def _named(job: Job) -> str:
    return f"job {job.job_id}, over {job.source.url}"


def _refusal(
    output: Storage, key: str, job: Job | None, what: str, remedy: str, *, is_retry: bool
) -> ResultsExistError:
    # A retry goes where its first job went.
    others = "" if is_retry else ", choose another --output-dir, or have its files replaced with --overwrite"
    return ResultsExistError(
        f"{output.url_of(key)} {what}. Nothing was run. {remedy}{others}.",
        output=output.url,
        key=key,
        other_job_id=None if job is None else job.job_id,
    )

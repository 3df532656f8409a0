"""Result files are called after their source: those of one replace another's only where that is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from engine.config import EngineConfig
from engine.coordinator import result_name
from engine.errors import ObjectMissingError, ResultsExistError, StorageAccessError
from engine.ledger import Ledger
from engine.model import Job
from engine.options import ImportOptions
from engine.results import ResultKind
from engine.storage import Storage, open_storage

_KINDS: tuple[ResultKind | Literal["unprocessed"], ...] = ("success", "failed", "unprocessed")


def check_names_are_free(
    books: Ledger,
    source_url: str,
    options: ImportOptions,
    output: Storage,
    config: EngineConfig,
    *,
    retry_of: Job | None = None,
) -> Callable[[], None]:
    """Let a job begin whose result files would replace none but those of its own source.

    A source that is imported again may replace what is there of it. An unfinished job has its names already. What the
    ledger does not know belongs to somebody else.

    Args:
        retry_of: the first job, where the refused rows of one are to be run.

    Returns:
        A check to be made where the job is written: of two that are begun at the same moment one is refused.

    Raises:
        ResultsExistError: they would replace those of another source.
    """
    if not config.enable_result_files:
        return lambda: None
    names = _names(source_url, options.output_format)
    jobs = books.jobs()
    mine = source_url if retry_of is None else _first_source(retry_of, jobs)
    # A retry goes where its first job went.
    or_else = "" if retry_of else ", choose another --output-dir, or have its files replaced with --overwrite"
    others = _writers(jobs, names, output.url)
    _check_unfinished(others, jobs, mine, output, names, or_else)
    newest = _newest(others)
    of_mine = any(_is_same_place(_first_source(job, jobs), mine) for job in ([newest] if newest else others))
    # Where none has come to an end, one of ours that died in it may have left a file; its names were free.
    if not of_mine:
        _check_files(newest, output, names, or_else)
    seen = {job.job_id for job in others}

    def check_again() -> None:
        now = books.jobs()
        since = [job for job in _writers(now, names, output.url) if job.job_id not in seen]
        _check_unfinished(since, now, mine, output, names, or_else, is_unfinished=lambda _job: True)

    return check_again


def check_names_are_still_its_own(job: Job, books: Ledger, config: EngineConfig) -> None:
    """Let a job go on whose names no job of another source has taken since it began.

    Raises:
        ResultsExistError: one has: after a failure that left no files, or because it was told to.
    """
    if not config.enable_result_files:
        return
    names, jobs = _names(job.source.url, job.options["output_format"]), books.jobs()
    mine, output = _first_source(job, jobs), open_storage(job.output_url, config)
    later = [each for each in _writers(jobs, names, output.url) if each.created_at > job.created_at]
    or_else = "" if job.retry_of else ", or have its files replaced by run --resume --overwrite"
    _check_unfinished(later, jobs, mine, output, names, or_else)
    newest = _newest([*later, job])
    if newest is not None and not _is_same_place(_first_source(newest, jobs), mine):
        _check_files(newest, output, names, or_else)


def check_failed_file_is_its_own(job: Job, books: Ledger) -> None:
    """Let an ended job pass whose failed file no later job has replaced; an Excel file is not what a retry reads.

    Raises:
        ObjectMissingError: one has.
    """
    if job.options["output_format"] != "csv":
        return
    names = _names(job.source.url, job.options["output_format"])
    for later in _writers(books.jobs(), names, job.output_url):
        is_later = later.job_id != job.job_id and _ended_at(later) > _ended_at(job)
        if is_later and later.result_files.failed_url is not None:
            raise ObjectMissingError(
                f"The failed file of job {job.job_id} has been replaced by that of job {later.job_id}, over "
                f"{later.source.url}. Retry that one, or import {job.source.url} anew.",
                job_id=job.job_id,
            )


def _check_unfinished(
    others: list[Job],
    jobs: list[Job],
    mine: str,
    output: Storage,
    names: list[str],
    or_else: str,
    *,
    is_unfinished: Callable[[Job], bool] = lambda job: not job.status.is_final,
) -> None:
    for job in others:
        if is_unfinished(job) and not _is_same_place(_first_source(job, jobs), mine):
            what = f"is to be a result file of another source: {_named(job)}, is {job.status}"
            raise _refusal(output, names[0], job, what, f"Resume or cancel that job first{or_else}")


def _check_files(newest: Job | None, output: Storage, names: list[str], or_else: str) -> None:
    stem = names[0].rpartition("success.")[0]
    try:
        found = [info.key for info in output.list(stem)]
    except StorageAccessError:  # who may write need not be allowed to look
        return
    key = next((name for name in names if name in found), None)
    if key is not None:
        whose = f"another source: {_named(newest)}" if newest is not None else "a job that this ledger does not know"
        what = f"is a result file of {whose}"
        raise _refusal(output, key, newest, what, f"Move that job's files away first{or_else}")


def _names(source_url: str, output_format: str) -> list[str]:
    return [result_name(source_url, kind, output_format) for kind in _KINDS]


def _writers(jobs: list[Job], names: list[str], output_url: str) -> list[Job]:
    """The jobs whose result files have these names there."""
    return [
        job
        for job in jobs
        if _names(job.source.url, job.options["output_format"]) == names and _is_same_place(job.output_url, output_url)
    ]


def _newest(jobs: list[Job]) -> Job | None:
    """That whose result files are there, if nobody has moved them."""
    return max((job for job in jobs if job.result_files.success_url is not None), key=_ended_at, default=None)


def _is_same_place(url: str, other: str) -> bool:
    """Whether two paths, or addresses, name the same, also by symbolic links."""
    if url == other or "://" in url or "://" in other:
        return url == other
    return os.path.realpath(url) == os.path.realpath(other)


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


def _refusal(output: Storage, key: str, job: Job | None, what: str, remedy: str) -> ResultsExistError:
    return ResultsExistError(
        f"{output.url_of(key)} {what}. Nothing was run. {remedy}.",
        output=output.url,
        key=key,
        other_job_id=None if job is None else job.job_id,
    )

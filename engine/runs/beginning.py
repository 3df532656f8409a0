"""A job made from a source, or from the refused rows of another, and run to its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.config import EngineConfig
from engine.coordinator import Coordinator, retry_name, retry_options, write_refused_rows
from engine.errors import OptionError
from engine.handlers import BatchHandler, HandlerMode, RowHandler, handler_path_of, mode_of, resolve_handler
from engine.ledger import Ledger, SqliteLedger, open_ledger
from engine.ledger.owner import this_process
from engine.model import ExecutorName, Job
from engine.options import ImportOptions
from engine.report import JobReport
from engine.runs.books import DEFAULT_OUTPUT_DIR, absolute_url, ledger_url_for
from engine.runs.result_names import check_failed_file_is_its_own, check_names_are_free, check_names_are_still_its_own
from engine.runs.working import (
    ENDED_WELL,
    OnProgress,
    check_executor,
    costs_for,
    opened_for,
    progress_for,
    resumed,
    to_its_end,
)
from engine.runtime.local_fork import ForkedProcess, HandlerInWorkers
from engine.status import Status
from engine.storage import open_location, open_storage


def run(
    source: str | os.PathLike[str],
    handler: RowHandler | BatchHandler | str | None = None,
    *,
    batch_handler: BatchHandler | str | None = None,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    executor: ExecutorName = "local",
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    ledger: str | None = None,
    config: EngineConfig | None = None,
    on_progress: OnProgress = lambda _report: None,
    on_interrupt: Callable[[], None] = lambda: None,
    forked: Sequence[ForkedProcess] = (),
    options: Mapping[str, Any] | None = None,
    **more_options: Any,
) -> JobReport:
    """Import a source and wait for the end; every row is in exactly one of the result files.

    Args:
        source: a path, or `s3://bucket/key`.
        handler: a dotted path, or a function that other processes can import: a row handler, or a batch
            handler that declares itself one (`engine.batch_handler`).
        batch_handler: in place of `handler`, a batch handler, whether it declares itself one or not.
        output_dir: a folder or `s3://bucket/prefix`: the result files come here, the job's working
            files below `.rowmill` in it.
        executor: "local" runs worker processes of its own, "celery" sends the chunks to workers
            that were started elsewhere and share the ledger's file. Neither touches a job of the other.
        workers: processes of the local executor; None for one per processor.
        resume: go on with the newest unfinished job of the same source, handler, options and output, which is
            handed over where it was another executor's.
        overwrite: let result files of another source be replaced that have the names of this one's.
        ledger: `sqlite:///path` or a path; None for `config.ledger_url`, or else a file below `output_dir`.
        config: services and limits; None to read the environment.
        on_progress: is given a report a few times a second.
        on_interrupt: is called when Ctrl-C was noticed and chunks in hand get a few seconds to end.
        forked: processes that the command line has started ahead of time for the local executor.
        options: the import options (`engine.options.KNOWN`); any other name goes to the handler.
        more_options: the same, as keyword arguments.

    Returns:
        The ended job: succeeded or cancelled.

    Raises:
        ResultsExistError: result files of another source would be replaced.
        RowmillError: see `engine.errors`. A job that exists by then is marked failed and can be resumed.
        InterruptedJobError: Ctrl-C; the job can be resumed.
    """
    handler_path, handler_mode = _handler_of(handler, batch_handler)
    in_workers = HandlerInWorkers(forked, handler_path) if forked and handler_mode == "batch" else None
    checked = ImportOptions.from_mapping(
        {**ImportOptions.defaults_for(handler_mode), **(options or {}), **more_options}
    )
    check_executor(executor, workers)
    config = config or EngineConfig.from_env()
    output = open_storage(absolute_url(output_dir), config, fail_fast=True)
    source_url, output_url = absolute_url(source), output.url
    ledger_url = ledger_url_for(ledger, output_url, config)
    if not output.is_remote:
        # Before the ledger makes its folder, so that an unwritable place is told as such.
        output.check_writable()
    books = open_ledger(ledger_url, executor=executor)
    try:
        progress = progress_for(executor, config)
        coordinator = Coordinator(
            books,
            progress,
            config,
            owner=this_process(),
            costs=costs_for(progress, output_url, config),
            load_handler=in_workers or resolve_handler,
            is_loading=in_workers.is_loading if in_workers else lambda: False,
        )
        job = (
            _find_unfinished(
                books,
                coordinator,
                source_url,
                handler_path,
                handler_mode,
                checked,
                output_url,
                config,
                overwrite=overwrite,
            )
            if resume
            else None
        )
        if job is None:

            def admit() -> Callable[[], None]:
                if overwrite:
                    return lambda: None
                return check_names_are_free(books, source_url, checked, output, config)

            job = coordinator.create(
                source_url,
                handler_path,
                checked,
                output_url,
                handler_mode=handler_mode,
                executor=executor,
                admit=admit,
            )
        return to_its_end(
            job,
            books,
            progress,
            coordinator,
            config,
            workers=workers,
            on_progress=on_progress,
            on_interrupt=on_interrupt,
            forked=forked,
        )
    finally:
        books.close()


def retry(
    job_id: str | None = None,
    *,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    ledger: str | None = None,
    config: EngineConfig | None = None,
    on_progress: OnProgress = lambda _report: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> JobReport:
    """Run the refused rows of an ended job again, in a job of their own, and wait for its end.

    Handler, options and output are those of the first job; the result files are called after
    `people.retry.csv`. A retry that did not come to its end is gone on with.

    Args:
        job_id: the first job; None for the newest one, the first characters of an id will do.
        executor: None for that of the first job.
        workers, ledger, config, on_progress, on_interrupt: as `run`.

    Raises:
        StatusTransitionError: the job has not ended, or has refused no row.
        ObjectMissingError: its failed rows are not there any more, or are in an Excel file.
        RowmillError: as `run`.
    """
    check_executor(executor or "local", workers)
    with opened_for(executor, job_id, output_dir, ledger, config) as (books, first, executor, config):
        progress = progress_for(executor, config)
        costs = costs_for(progress, first.output_url, config)
        coordinator = Coordinator(books, progress, config, owner=this_process(), costs=costs)
        workspace = open_storage(first.workspace_url, config)
        key = f"retries/{first.job_id}/{retry_name(first.source.url)}"
        left = _unfinished_retry(books, first)
        if left is not None:
            check_names_are_still_its_own(left, books, config)
            books.hand_over(left.job_id)
            job = coordinator.resume(left.job_id)
        else:
            check_failed_file_is_its_own(first, books)
            options, source_url = ImportOptions.from_mapping(retry_options(first)), workspace.url_of(key)
            output = open_storage(first.output_url, config)

            def admit() -> Callable[[], None]:
                return check_names_are_free(books, source_url, options, output, config, retry_of=first)

            admit()
            write_refused_rows(first, books, config, workspace, key)
            job = coordinator.create(
                source_url,
                first.handler_path,
                options,
                first.output_url,
                handler_mode=first.handler_mode,
                retry_of=first.job_id,
                executor=executor,
                admit=admit,
            )
        report = to_its_end(
            job,
            books,
            progress,
            coordinator,
            config,
            workers=workers,
            on_progress=on_progress,
            on_interrupt=on_interrupt,
        )
        source_storage, source_key = open_location(job.source.url, config)
        source_storage.delete([source_key])  # it was made for this job only
        return report


def _unfinished_retry(books: Ledger, first: Job) -> Job | None:
    """The retry of a job that did not come to its end; without an id the newest job may be that one itself."""
    if first.retry_of is not None and first.status not in ENDED_WELL:
        return first
    found = (job for job in books.jobs() if job.retry_of == first.job_id and job.status not in ENDED_WELL)
    return next(found, None)


def _handler_of(
    handler: RowHandler | BatchHandler | str | None, batch_handler: BatchHandler | str | None
) -> tuple[str, HandlerMode]:
    """The path and the mode of the one handler that was given."""
    if (handler is None) == (batch_handler is None):
        raise OptionError("Give either handler or batch_handler, and not both.", option="handler")
    if batch_handler is not None:
        return handler_path_of(batch_handler), "batch"
    assert handler is not None
    path = handler_path_of(handler)
    return path, mode_of(resolve_handler(path))


def _find_unfinished(
    books: SqliteLedger,
    coordinator: Coordinator,
    source_url: str,
    handler_path: str,
    handler_mode: HandlerMode,
    options: ImportOptions,
    output_url: str,
    config: EngineConfig,
    *,
    overwrite: bool,
) -> Job | None:
    """The newest job of the same request, made to run again; None where there is none."""
    for job in books.jobs():
        same = (
            job.source.url == source_url
            and job.handler_path == handler_path
            and job.handler_mode == handler_mode
            and job.options == options.for_handler()
            and job.output_url == output_url
        )
        if not same or job.status is Status.CANCELLED:
            continue
        if job.status is Status.SUCCEEDED:
            return job
        return resumed(job, books, coordinator, config, overwrite=overwrite)
    return None

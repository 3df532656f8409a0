"""The Python API of jobs: run one, ask for it, cancel it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

from engine.config import EngineConfig
from engine.coordinator import WORKSPACE, Coordinator, retry_name, retry_options, write_refused_rows
from engine.errors import (
    JobNotFoundError,
    LedgerError,
    OptionError,
    SourceChangedError,
    error_of,
)
from engine.handlers import BatchHandler, HandlerMode, RowHandler, handler_path_of, mode_of, resolve_handler
from engine.ledger import Ledger, open_ledger
from engine.ledger.owner import is_dead, this_process
from engine.model import Job
from engine.options import ImportOptions
from engine.progress import MemoryProgress, ProgressStore, RedisProgress
from engine.report import JobReport
from engine.runtime.local import LocalRun
from engine.runtime.local_fork import ForkedProcess
from engine.status import ChunkStatus, Phase, Status
from engine.storage import open_location, open_storage
from engine.table import pin_source

DEFAULT_OUTPUT_DIR = "rowmill-results"

_ENDED_WELL = (Status.SUCCEEDED, Status.CANCELLED)

OnProgress = Callable[[JobReport], None]


def run(
    source: str | os.PathLike[str],
    handler: RowHandler | BatchHandler | str | None = None,
    *,
    batch_handler: BatchHandler | str | None = None,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    executor: Literal["local", "celery"] = "local",
    workers: int | None = None,
    resume: bool = False,
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
            that were started elsewhere and share the ledger's file.
        workers: processes of the local executor; None for one per processor.
        resume: go on with the newest unfinished job of the same source, handler, options and output.
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
        RowmillError: see `engine.errors`. A job that exists by then is marked failed and can be resumed.
        InterruptedJobError: Ctrl-C; the job can be resumed.
    """
    handler_path, handler_mode = _handler_of(handler, batch_handler)
    checked = ImportOptions.from_mapping(
        {**ImportOptions.defaults_for(handler_mode), **(options or {}), **more_options}
    )
    _check_executor(executor, workers)
    config = config or EngineConfig.from_env()
    source_url, output_url = _url(source), open_storage(_url(output_dir), config).url
    ledger_url = ledger_url_for(ledger, output_url, config)
    # Before the ledger makes its folder, so that an unwritable place is told as such.
    open_storage(output_url, config, fail_fast=True).check_writable()
    books = open_ledger(ledger_url)
    try:
        progress = _progress_for(executor, config)
        coordinator = Coordinator(books, progress, config, owner=this_process())
        job = (
            _find_unfinished(books, coordinator, source_url, handler_path, handler_mode, checked, output_url, config)
            if resume
            else None
        )
        if job is None:
            job = coordinator.create(source_url, handler_path, checked, output_url, handler_mode=handler_mode)
        return _to_its_end(
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
    executor: Literal["local", "celery"] = "local",
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
        executor, workers, ledger, config, on_progress, on_interrupt: as `run`.

    Raises:
        StatusTransitionError: the job has not ended, or has refused no row.
        ObjectMissingError: its failed rows are not there any more, or are in an Excel file.
        RowmillError: as `run`.
    """
    _check_executor(executor, workers)
    books, config = _existing_ledger(ledger, output_dir, config)
    try:
        first, progress = _find(books, job_id), _progress_for(executor, config)
        coordinator = Coordinator(books, progress, config, owner=this_process())
        workspace = open_storage(first.workspace_url, config)
        key = f"retries/{first.job_id}/{retry_name(first.source.url)}"
        left = _unfinished_retry(books, first)
        if left is not None:
            job = coordinator.resume(left.job_id)
        else:
            write_refused_rows(first, books, config, workspace, key)
            job = coordinator.create(
                workspace.url_of(key),
                first.handler_path,
                ImportOptions.from_mapping(retry_options(first)),
                first.output_url,
                handler_mode=first.handler_mode,
                retry_of=first.job_id,
            )
        report = _to_its_end(
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
    finally:
        books.close()


def _unfinished_retry(books: Ledger, first: Job) -> Job | None:
    """The retry of a job that did not come to its end; without an id the newest job may be that one itself."""
    if first.retry_of is not None and first.status not in _ENDED_WELL:
        return first
    found = (job for job in books.jobs() if job.retry_of == first.job_id and job.status not in _ENDED_WELL)
    return next(found, None)


def _check_executor(executor: str, workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}.", option="workers")
    if executor not in ("local", "celery"):
        raise OptionError(f'executor must be "local" or "celery", not {executor!r}.', option="executor")
    if executor == "celery" and not all(map(find_spec, ("celery", "redis"))):
        raise OptionError("The celery executor needs more packages: pip install 'rowmill[celery]'.", option="executor")


def _progress_for(executor: str, config: EngineConfig) -> ProgressStore:
    return MemoryProgress() if executor == "local" else RedisProgress.from_url(config.redis_url, config)


def _to_its_end(
    job: Job,
    books: Ledger,
    progress: ProgressStore,
    coordinator: Coordinator,
    config: EngineConfig,
    *,
    workers: int | None,
    on_progress: OnProgress,
    on_interrupt: Callable[[], None],
    forked: Sequence[ForkedProcess] = (),
) -> JobReport:
    """Have a job done by processes of our own where the counters are ours, else by workers, and watch it."""
    # At once, so that whoever watches knows the job even if it fails before the first look at it.
    on_progress(_report(books, job))
    if isinstance(progress, MemoryProgress):
        local = LocalRun(
            coordinator,
            books,
            progress,
            config,
            workers=workers or os.cpu_count() or 1,
            on_progress=lambda job, counts: on_progress(JobReport(job=job, counts=counts)),
            on_interrupt=on_interrupt,
            forked=forked,
        )
        ended = local.run(job.job_id)
    else:
        # Celery takes a third of a second to import; local runs do without.
        from engine.runtime.celery_run import CeleryRun

        celery = CeleryRun(
            coordinator,
            books,
            config,
            on_progress=lambda job, counts: on_progress(JobReport(job=job, counts=counts)),
        )
        ended = celery.run(job.job_id)
    if ended.status is Status.FAILED:
        # Seen in the ledger before the error itself arrived.
        raise error_of(ended.error_code or "", ended.error_message or "The job failed.", job_id=ended.job_id)
    return _report(books, ended)


def status(
    job_id: str | None = None,
    *,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    ledger: str | None = None,
    config: EngineConfig | None = None,
) -> JobReport:
    """A job as the ledger has it, its counts as of the last committed chunk.

    Args:
        job_id: None for the newest one; the first characters of an id will do.

    Raises:
        JobNotFoundError: there is none, or several begin like that.
    """
    books, config = _existing_ledger(ledger, output_dir, config)
    try:
        job = _find(books, job_id)
        return _report(books, job)
    finally:
        books.close()


def cancel(
    job_id: str | None = None,
    *,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    ledger: str | None = None,
    config: EngineConfig | None = None,
) -> JobReport:
    """Ask for the end of a job; what was done by then gets its result files. Repeating it is harmless.

    A job that nobody runs any more, because its process was killed, is ended by this call.

    Raises:
        JobNotFoundError: as `status`.
        RowmillError: the job that was left could not be ended; it is marked failed.
    """
    with _found(job_id, output_dir, ledger, config) as (books, job, coordinator):
        # The ledger's flag is what counts; whoever runs the job looks at it several times a second.
        job = coordinator.cancel(job.job_id)
        if not job.status.is_final:
            # Nobody may be running it any more: then there is nothing left but to end it, and that is done here.
            coordinator.recover(job.job_id, _EndHere(coordinator))
            job = books.job(job.job_id)
        return _report(books, job)


def pause(
    job_id: str | None = None,
    *,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    ledger: str | None = None,
    config: EngineConfig | None = None,
) -> JobReport:
    """Have no further chunk of a job begin until `resume`; those in hand end. Repeating it is harmless.

    Raises:
        JobNotFoundError: as `status`.
        StatusTransitionError: the job has ended.
    """
    with _found(job_id, output_dir, ledger, config) as (books, job, coordinator):
        return _report(books, coordinator.pause(job.job_id))


def resume(
    job_id: str | None = None,
    *,
    output_dir: str | os.PathLike[str] = DEFAULT_OUTPUT_DIR,
    executor: Literal["local", "celery"] = "local",
    workers: int | None = None,
    ledger: str | None = None,
    config: EngineConfig | None = None,
    on_progress: OnProgress = lambda _report: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> JobReport:
    """Have a job go on where it stopped, with the handler and the options it was begun with.

    A paused one goes on in whatever processes run it, and this call returns at once. One that has failed, or whose
    processes are gone, is run here to its end, as by `run(…, resume=True)`.

    Args:
        executor, workers, on_progress, on_interrupt: as `run`, of a job that is run here.

    Returns:
        The job: ended where it was run here, running where others have it.

    Raises:
        JobNotFoundError: as `status`.
        StatusTransitionError: the job has succeeded or was cancelled.
        RowmillError: as `run`.
    """
    _check_executor(executor, workers)
    books, config = _existing_ledger(ledger, output_dir, config)
    try:
        job, progress = _find(books, job_id), _progress_for(executor, config)
        coordinator = Coordinator(books, progress, config, owner=this_process())
        goes_on = job.paused or (not job.status.is_final and _is_run(books, job, config))
        if goes_on or job.status in _ENDED_WELL:
            return _report(books, coordinator.resume(job.job_id))
        job = _resumed(job, coordinator, config)
        return _to_its_end(
            job,
            books,
            progress,
            coordinator,
            config,
            workers=workers,
            on_progress=on_progress,
            on_interrupt=on_interrupt,
        )
    finally:
        books.close()


def _resumed(job: Job, coordinator: Coordinator, config: EngineConfig) -> Job:
    """The job, made to run again. Raises SourceChangedError where its source is not the one it began with."""
    if pin_source(job.source.url, config) != job.source:
        raise SourceChangedError(
            f"{job.source.url} has changed since job {job.job_id} began, so that it cannot go on with it. "
            "Import it anew without resuming.",
            source=job.source.url,
            job_id=job.job_id,
        )
    if job.phase is Phase.FAILING:
        # Whoever ran it is gone: first the end that it was about to come to.
        coordinator.recover(job.job_id, _EndHere(coordinator))
    return coordinator.resume(job.job_id)


def _is_run(books: Ledger, job: Job, config: EngineConfig) -> bool:
    """Whether some process has the job in hand, as far as that can be told from here."""

    def may_live(owner: str | None, silent_seconds: float) -> bool:
        dead = True if owner is None else is_dead(owner)
        return not dead and (dead is not None or silent_seconds < config.lease_seconds)

    return may_live(job.owner, job.seconds_since_heartbeat) or any(
        state.status is ChunkStatus.LEASED and may_live(state.owner, state.seconds_since_change)
        for state in books.chunk_states(job.job_id)
    )


def _report(books: Ledger, job: Job) -> JobReport:
    counts = job.counts if job.status.is_final else books.counts(job.job_id)
    return JobReport(job=job, counts=counts, errors_by_message=books.messages(job.job_id))


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


class _EndHere:
    """The executor of a job that was cancelled, or failed, and left: only its scan and its merge are still done."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Such a job has none to run."""

    def send_plan(self, job_id: str) -> None:
        """To its end, so that the rows that were not processed are known."""
        self._coordinator.plan(job_id)

    def send_finish(self, job_id: str) -> None:
        self._coordinator.finish(job_id)

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Nobody is left to help."""


def ledger_url_for(ledger: str | None, output_dir: str | os.PathLike[str], config: EngineConfig) -> str:
    """The ledger that is meant: the given one, the configured one, or the file beside the results."""
    chosen = ledger or config.ledger_url
    if chosen is None:
        folder = WORKSPACE if "://" in str(output_dir) else os.path.join(output_dir, WORKSPACE)
        chosen = os.path.join(folder, "ledger.sqlite3")
    return chosen if "://" in chosen else f"sqlite:///{os.path.abspath(chosen)}"


def _url(place: str | os.PathLike[str]) -> str:
    text = os.fspath(place)
    return text if "://" in text else os.path.abspath(text)


def _existing_ledger(
    ledger: str | None, output_dir: str | os.PathLike[str], config: EngineConfig | None
) -> tuple[Ledger, EngineConfig]:
    config = config or EngineConfig.from_env()
    url = ledger_url_for(ledger, output_dir, config)
    path = url.removeprefix("sqlite:///")
    if not os.path.exists(path):
        raise LedgerError(
            f"There is no ledger {path}. Name it with --ledger, or the results' folder with --output-dir."
        )
    return open_ledger(url), config


@contextmanager
def _found(
    job_id: str | None, output_dir: str | os.PathLike[str], ledger: str | None, config: EngineConfig | None
) -> Iterator[tuple[Ledger, Job, Coordinator]]:
    """The ledger that is there, the job that is meant, and who moves it on; closed with the context."""
    books, config = _existing_ledger(ledger, output_dir, config)
    try:
        yield books, _find(books, job_id), Coordinator(books, MemoryProgress(), config, owner=this_process())
    finally:
        books.close()


def _find(books: Ledger, job_id: str | None) -> Job:
    if job_id is None:
        jobs = books.jobs()
        if not jobs:
            raise JobNotFoundError(f"The ledger {books.url} holds no job yet.")
        return jobs[0]
    found = [job for job in books.jobs() if job.job_id.startswith(job_id)]
    if len(found) != 1:
        what = "no job" if not found else f"{len(found)} jobs"
        raise JobNotFoundError(f"The ledger {books.url} holds {what} whose id begins with {job_id}.", job_id=job_id)
    return found[0]


def _find_unfinished(
    books: Ledger,
    coordinator: Coordinator,
    source_url: str,
    handler_path: str,
    handler_mode: HandlerMode,
    options: ImportOptions,
    output_url: str,
    config: EngineConfig,
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
        return _resumed(job, coordinator, config)
    return None

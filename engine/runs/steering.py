"""A job that is there: asked for, ended, held, and let go on."""

from __future__ import annotations

import os
from collections.abc import Callable

from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.ledger import Ledger
from engine.ledger.owner import is_dead, this_process
from engine.model import ExecutorName, Job
from engine.report import JobReport
from engine.runs.books import DEFAULT_OUTPUT_DIR, existing_ledger, find, found, report_of
from engine.runs.result_names import check_names_are_still_its_own
from engine.runs.working import (
    ENDED_WELL,
    EndHere,
    OnProgress,
    check_executor,
    costs_for,
    opened_for,
    progress_for,
    resumed,
    to_its_end,
)
from engine.status import ChunkStatus


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
    books, config = existing_ledger(ledger, output_dir, config)
    try:
        job = find(books, job_id)
        return report_of(books, job)
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
        ResultsExistError: another source's result files have the names of a job that was left.
        RowmillError: the job that was left could not be ended; it is marked failed.
    """
    with found(job_id, output_dir, ledger, config) as (books, job, coordinator):
        # The ledger's flag is what counts; whoever runs the job looks at it several times a second.
        job = coordinator.cancel(job.job_id)
        if not job.status.is_final:
            # Nobody may be running it any more: then there is nothing left but to end it, and that is done here.
            config = config or EngineConfig.from_env()
            if not _is_run(books, job, config):
                check_names_are_still_its_own(job, books, config)
            coordinator.recover(job.job_id, EndHere(coordinator))
            job = books.job(job.job_id)
        return report_of(books, job)


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
    with found(job_id, output_dir, ledger, config) as (books, job, coordinator):
        return report_of(books, coordinator.pause(job.job_id))


def resume(
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
    """Have a job go on where it stopped, with the handler and the options it was begun with.

    A paused one goes on in whatever processes run it, and this call returns at once. One that has failed, or whose
    processes are gone, is run here to its end, as by `run(…, resume=True)`; and so is one that is handed over.

    Args:
        executor: None for that which the job has; the other one takes the job over, whatever runs it by now: chunks
            in hand end there.
        workers, on_progress, on_interrupt: as `run`, of a job that is run here.

    Returns:
        The job: ended where it was run here, running where others have it.

    Raises:
        JobNotFoundError: as `status`.
        StatusTransitionError: the job has succeeded or was cancelled.
        RowmillError: as `run`.
    """
    check_executor(executor or "local", workers)
    with opened_for(executor, job_id, output_dir, ledger, config) as (books, job, executor, config):
        progress = progress_for(executor, config)
        costs = costs_for(progress, job.output_url, config)
        coordinator = Coordinator(books, progress, config, owner=this_process(), costs=costs)
        goes_on = job.executor == executor and not job.status.is_final and (job.paused or _is_run(books, job, config))
        if goes_on or job.status in ENDED_WELL:
            return report_of(books, coordinator.resume(job.job_id))
        job = resumed(job, books, coordinator, config)
        return to_its_end(
            job,
            books,
            progress,
            coordinator,
            config,
            workers=workers,
            on_progress=on_progress,
            on_interrupt=on_interrupt,
        )


def _is_run(books: Ledger, job: Job, config: EngineConfig) -> bool:
    """Whether some process has the job in hand, as far as that can be told from here."""

    def may_live(owner: str | None, silent_seconds: float) -> bool:
        dead = True if owner is None else is_dead(owner)
        return not dead and (dead is not None or silent_seconds < config.lease_seconds)

    return may_live(job.owner, job.seconds_since_heartbeat) or any(
        state.status is ChunkStatus.LEASED and may_live(state.owner, state.seconds_since_change)
        for state in books.chunk_states(job.job_id)
    )

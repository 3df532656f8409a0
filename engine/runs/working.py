"""A job brought to its end, by processes of our own or by watching those of others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec

from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.errors import OptionError, SourceChangedError, error_of
from engine.ledger import Ledger, SqliteLedger, open_ledger
from engine.model import ExecutorName, Job
from engine.progress import MemoryProgress, ProgressStore, RedisProgress, RowCosts
from engine.report import JobReport
from engine.runs.books import existing_ledger, find, report_of
from engine.runs.result_names import check_names_are_still_its_own
from engine.runtime.local import LocalRun
from engine.runtime.local_fork import ForkedProcess
from engine.status import Status
from engine.storage import open_storage
from engine.table import pin_source

#: What a job has ended as that nothing is left to do for.
ENDED_WELL = (Status.SUCCEEDED, Status.CANCELLED)

OnProgress = Callable[[JobReport], None]


def check_executor(executor: str, workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}.", option="workers")
    if executor not in ("local", "celery"):
        raise OptionError(f'executor must be "local" or "celery", not {executor!r}.', option="executor")
    if executor == "celery" and not all(map(find_spec, ("celery", "redis"))):
        raise OptionError("The celery executor needs more packages: pip install 'rowmill[celery]'.", option="executor")


def progress_for(executor: str, config: EngineConfig) -> ProgressStore:
    return MemoryProgress() if executor == "local" else RedisProgress.from_url(config.redis_url, config)


def costs_for(progress: ProgressStore, output_url: str, config: EngineConfig) -> RowCosts | None:
    """What the chunks of a local run tell of their rows, where larger ones pay.

    A folder takes small parts as they are; on S3 each costs requests, and is joined by us below 5 MiB. Workers of a
    queue plan by themselves.
    """
    if isinstance(progress, MemoryProgress) and open_storage(output_url, config).is_remote:
        return progress
    return None


@contextmanager
def opened_for(
    executor: ExecutorName | None,
    job_id: str | None,
    output_dir: str | os.PathLike[str],
    ledger: str | None,
    config: EngineConfig | None,
) -> Iterator[tuple[SqliteLedger, Job, ExecutorName, EngineConfig]]:
    """The ledger that is there, opened for an executor, and the job that is meant; without an executor for its own."""
    books, config = existing_ledger(ledger, output_dir, config)
    with closing(books):
        job = find(books, job_id)
    chosen = executor or job.executor
    check_executor(chosen, None)
    with closing(open_ledger(books.url, executor=chosen)) as mine:
        yield mine, job, chosen, config


def to_its_end(
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
    on_progress(report_of(books, job))
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
    return report_of(books, ended)


def resumed(
    job: Job, books: SqliteLedger, coordinator: Coordinator, config: EngineConfig, *, overwrite: bool = False
) -> Job:
    """The job, made to run again, by the executor for which the ledger was opened.

    Raises:
        ResultsExistError: another source's result files have its names by now, and `overwrite` does not say so.
        SourceChangedError: its source is not the one it began with.
    """
    if pin_source(job.source.url, config) != job.source:
        raise SourceChangedError(
            f"{job.source.url} has changed since job {job.job_id} began, so that it cannot go on with it. "
            "Import it anew without resuming.",
            source=job.source.url,
            job_id=job.job_id,
        )
    if not overwrite:
        check_names_are_still_its_own(job, books, config)
    books.hand_over(job.job_id)
    if job.error_code is not None and not job.status.is_final:
        # Whoever ran it is gone: first the end that it was about to come to.
        coordinator.recover(job.job_id, EndHere(coordinator))
    return coordinator.resume(job.job_id)


class EndHere:
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

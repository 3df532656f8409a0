"""Which ledger is meant, and which job in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from engine.config import EngineConfig
from engine.coordinator import WORKSPACE, Coordinator
from engine.errors import JobNotFoundError, LedgerError
from engine.ledger import Ledger, SqliteLedger, open_ledger
from engine.ledger.owner import this_process
from engine.model import Job
from engine.progress import MemoryProgress
from engine.report import JobReport

DEFAULT_OUTPUT_DIR = "rowmill-results"


def ledger_url_for(ledger: str | None, output_dir: str | os.PathLike[str], config: EngineConfig) -> str:
    """The ledger that is meant: the given one, the configured one, or the file beside the results."""
    chosen = ledger or config.ledger_url
    if chosen is None:
        folder = WORKSPACE if "://" in str(output_dir) else os.path.join(output_dir, WORKSPACE)
        chosen = os.path.join(folder, "ledger.sqlite3")
    return chosen if "://" in chosen else f"sqlite:///{os.path.abspath(chosen)}"


def absolute_url(place: str | os.PathLike[str]) -> str:
    text = os.fspath(place)
    return text if "://" in text else os.path.abspath(text)


def existing_ledger(
    ledger: str | None, output_dir: str | os.PathLike[str], config: EngineConfig | None
) -> tuple[SqliteLedger, EngineConfig]:
    config = config or EngineConfig.from_env()
    url = ledger_url_for(ledger, output_dir, config)
    path = url.removeprefix("sqlite:///")
    if not os.path.exists(path):
        raise LedgerError(
            f"There is no ledger {path}. Name it with --ledger, or the results' folder with --output-dir."
        )
    return open_ledger(url), config


@contextmanager
def found(
    job_id: str | None, output_dir: str | os.PathLike[str], ledger: str | None, config: EngineConfig | None
) -> Iterator[tuple[Ledger, Job, Coordinator]]:
    """The ledger that is there, the job that is meant, and who moves it on; closed with the context."""
    books, config = existing_ledger(ledger, output_dir, config)
    try:
        yield books, find(books, job_id), Coordinator(books, MemoryProgress(), config, owner=this_process())
    finally:
        books.close()


def find(books: Ledger, job_id: str | None) -> Job:
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


def report_of(books: Ledger, job: Job) -> JobReport:
    counts = job.counts if job.status.is_final else books.counts(job.job_id)
    return JobReport(job=job, counts=counts, errors_by_message=books.messages(job.job_id))

"""Live counters from the ledger, where the store has lost them or lags behind."""

from __future__ import annotations

from engine.ledger import Ledger
from engine.progress import ProgressStore


def rebuild_progress(ledger: Ledger, progress: ProgressStore, job_id: str, *, only_if_missing: bool = True) -> None:
    """Make live counters from the ledger's committed chunks; running chunks add themselves again."""
    job, done = ledger.job(job_id), ledger.counts_by_chunk(job_id)
    progress.begin(job_id, total_rows=job.total_rows, done=done, only_if_missing=only_if_missing)
    if job.cancel_requested:
        progress.request_cancel(job_id)

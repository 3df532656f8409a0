"""Where a job's staged copies stand in its workspace; the only place that knows."""

from __future__ import annotations


def staged_key(job_id: str, name: str = "source.csv") -> str:
    """The key of one staged copy."""
    return f"{staged_prefix(job_id)}{name}"


def staged_prefix(job_id: str) -> str:
    """What the keys of all staged copies of a job begin with, and no others."""
    return f"staged/{job_id}/"

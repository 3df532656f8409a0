"""What the coordinator needs of others: who executes, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.model import Job


class Executor(Protocol):
    """Who gets chunks run and jobs finished, somewhere, some time: a message lost here is sent again."""

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        """Have these chunks run by a chunk runner, each at least once."""

    def send_plan(self, job_id: str) -> None:
        """Have `Coordinator.plan` called."""

    def send_finish(self, job_id: str) -> None:
        """Have `Coordinator.finish` called."""

    def send_help(self, job_id: str, position: int, step: int) -> None:
        """Have `Coordinator.help_merge` called, and again with what it returns; a loss costs time only."""


class JobListener(Protocol):
    """Is told when a job's status changed."""

    def job_changed(self, job: Job) -> None:
        """The job as it is now. May be told twice of the same change; must not raise."""

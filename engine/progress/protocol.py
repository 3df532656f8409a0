"""Live counters of running jobs: fast, disposable, rebuilt from the ledger when they are lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.model import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSnapshot:
    """What is known of a job this moment."""

    total_rows: int | None
    counts: Counts
    cancel_requested: bool


class RowCosts(Protocol):
    """What rows cost with each handler: a hint for the size of chunks.

    Raises (all methods):
        ServiceUnavailableError: nobody answers.
    """

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        """Take what so many rows took in one process; what was noted before counts for less and less."""

    def seconds_per_row(self, handler: str) -> float | None:
        """What was noted lately; None where nothing was."""


class ProgressStore(Protocol):
    """Totals and the counts of every chunk, per job. All methods raise ServiceUnavailableError when the store is away.

    The totals are moved by the *difference* between what a chunk says now and what it said before,
    so that a repeated call changes nothing, and a new attempt that starts from zero falls back.
    """

    def begin(
        self,
        job_id: str,
        *,
        total_rows: int | None,
        done: Mapping[int, Counts] | None = None,
        only_if_missing: bool = False,
    ) -> None:
        """Make the counters exactly this, whatever was there, in one step: `done` are the committed chunks.

        Serves the start of a job and the rebuilding of lost counters alike. A requested cancel stays
        (a store that was wiped has forgotten it: ask for it again where the ledger has it).

        Args:
            only_if_missing: for rebuilding, where several workers notice the loss at once: counters
                that another one rebuilt first stay as they are, as they may hold commits that came
                after this caller had read `done`.
        """

    def set_total(self, job_id: str, total_rows: int) -> None:
        """Say how many rows there are, once the scan knows. Changes nothing when the counters are missing."""

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """Set one chunk's counts and move the totals by the difference, atomically.

        Ignored when a later attempt of the chunk, or its commit (`done`), was recorded before.

        Returns:
            Whether a cancel was requested; None when the job's counters are missing (never begun, or
            lost), in which case nothing was changed: rebuild them with `begin`.
        """

    def request_cancel(self, job_id: str) -> None:
        """Raise the flag that `record` returns; repeating it is harmless, also on missing counters."""

    def snapshot(self, job_id: str) -> ProgressSnapshot | None:
        """The counters in one round trip; None when they are missing."""

    def clear(self, job_id: str) -> None:
        """Forget the job."""

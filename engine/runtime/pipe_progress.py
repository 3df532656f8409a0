# ruff: noqa: ARG002 - the protocol's arguments, of which this store needs few
"""What a local worker counts and measures: it goes to the parent, which keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.model import Counts
from engine.progress import ProgressSnapshot


class PipeProgress:
    """A ProgressStore that sends `record` on and knows which jobs are to be cancelled."""

    def __init__(self, send: Callable[[str, int, int, Counts, bool], None], cancelled: Callable[[], set[str]]) -> None:
        """
        Args:
            send: takes job_id, chunk_index, attempt, counts, done.
            cancelled: the jobs of which the parent has said so.
        """
        self._send = send
        self._cancelled = cancelled

    def begin(
        self,
        job_id: str,
        *,
        total_rows: int | None,
        done: Mapping[int, Counts] | None = None,
        only_if_missing: bool = False,
    ) -> None:
        """Nothing to do: the parent begins the counters before it starts workers."""

    def set_total(self, job_id: str, total_rows: int) -> None:
        """Nothing to do: the parent scans."""

    def record(self, job_id: str, chunk_index: int, attempt: int, counts: Counts, *, done: bool = False) -> bool | None:
        """Send the counts on; whether a cancel was requested."""
        self._send(job_id, chunk_index, attempt, counts, done)
        return job_id in self._cancelled()

    def request_cancel(self, job_id: str) -> None:
        """Nothing to do: the parent cancels."""

    def snapshot(self, job_id: str) -> ProgressSnapshot | None:
        """None: the counters are the parent's."""
        return None

    def clear(self, job_id: str) -> None:
        """Nothing to do."""


class PipeCosts:
    """RowCosts that are sent on."""

    def __init__(self, send: Callable[[str, int, float], None]) -> None:
        """
        Args:
            send: takes the handler's path, rows, seconds.
        """
        self._send = send

    def note_cost(self, handler: str, *, rows: int, seconds: float) -> None:
        """Send it on."""
        self._send(handler, rows, seconds)

    def seconds_per_row(self, handler: str) -> float | None:
        """None: the parent plans."""
        return None

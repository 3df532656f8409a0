"""What a job can be, and the only moves between these states.

        start                    all chunks done, merged
queued ───────→ running ────────────────────────────────→ succeeded
  │                │ ├── a terminal error, then merged ─→ failed ── resume → running
  └──── cancel ────│─┴── cancel, then merged ───────────→ cancelled
                   │
                   └ phases: scanning → processing → merging; cancelling or failing in place of processing
"""

from __future__ import annotations

from enum import StrEnum

from engine.errors import StatusTransitionError


class Status(StrEnum):
    """The coarse state of a job, as the usage guide has it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Phase(StrEnum):
    """What a running job is doing."""

    SCANNING = "scanning"
    PROCESSING = "processing"
    CANCELLING = "cancelling"
    #: An error that is no row's has come; running chunks end, nothing else begins.
    FAILING = "failing"
    MERGING = "merging"


class ChunkStatus(StrEnum):
    """What a chunk can be: planned → sent → leased → done, and back to planned when an attempt is lost."""

    PLANNED = "planned"
    SENT = "sent"
    LEASED = "leased"
    DONE = "done"
    #: Not to be run, because its job was cancelled or failed first; planned again when a failed job is resumed.
    DROPPED = "dropped"


#: What is shown as the phase of a job of which no chunk may begin.
PAUSED = "paused"


def shown_phase(phase: Phase | None, *, paused: bool, cancel_requested: bool) -> str | None:
    """The phase as people see it: `paused` while nothing may begin that otherwise would."""
    if paused and phase in (Phase.SCANNING, Phase.PROCESSING) and not cancel_requested:
        return PAUSED
    return None if phase is None else str(phase)


#: (from, to) → the cause. Whatever is not listed here raises.
TRANSITIONS: dict[tuple[Status, Status], str] = {
    (Status.QUEUED, Status.RUNNING): "a coordinator starts the job",
    (Status.QUEUED, Status.FAILED): "the source or the handler is unusable",
    (Status.QUEUED, Status.CANCELLED): "cancelled before it started",
    (Status.RUNNING, Status.SUCCEEDED): "every chunk is done and merged",
    (Status.RUNNING, Status.FAILED): "a terminal error, or a transient one that did not pass; what was done is merged",
    (Status.RUNNING, Status.CANCELLED): "cancelled; what was done is merged",
    (Status.FAILED, Status.RUNNING): "resumed by the user",
}


def check_transition(job_id: str, old: Status, new: Status) -> None:
    """Let an allowed move pass.

    Raises:
        StatusTransitionError: `TRANSITIONS` has no such move.
    """
    if old is not new and (old, new) not in TRANSITIONS:
        raise StatusTransitionError(
            f"Job {job_id} is {old} and cannot become {new}.",
            job_id=job_id,
            old=str(old),
            new=str(new),
        )

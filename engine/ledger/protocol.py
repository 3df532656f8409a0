"""The durable truth about jobs and chunks. What a broker or Redis says is a hint; this decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from engine.guard import RowGuard
from engine.model import Chunk, ChunkOutcome, ChunkState, Claim, Counts, Job, Plan, Source, Turn
from engine.status import Phase, Status


class ChunkWork(Protocol):
    """The transaction in which one attempt runs its rows, where the ledger has one."""

    @property
    def row_guard(self) -> RowGuard | None:
        """Makes savepoints, so that a failed row leaves nothing in the handler's database.

        None where the ledger does not share a database with the handler.
        """

    def commit(self, outcome: ChunkOutcome) -> None:
        """Mark the chunk done, exactly once.

        Raises:
            LeaseLostError: the chunk is no longer this attempt's; the transaction is rolled back.
        """


class Ledger(Protocol):
    """Jobs and chunks. Every method is one transaction; all may be called by any process at any time."""

    @property
    def url(self) -> str:
        """How another process opens the same ledger."""

    # Jobs

    def create_job(self, job: Job, *, check: Callable[[], None] = lambda: None) -> None:
        """Write a new job, unless `check` raises: no other job is written between what it reads here and this one."""

    def job(self, job_id: str) -> Job:
        """The job as it is now. Raises JobNotFoundError."""

    def jobs(self, *, unfinished_only: bool = False) -> list[Job]:
        """Jobs, the newest first."""

    def move_job(
        self,
        job_id: str,
        *,
        expected: Sequence[tuple[Status, Phase | None]],
        status: Status,
        phase: Phase | None,
        owner: str | None = None,
        expected_owner: str | None = None,
        **changes: Any,
    ) -> bool:
        """Compare-and-set: move a job that is in one of the expected states, and write the changes with it.

        Args:
            expected: allowed present states.
            owner: who scans or merges from now on; its heartbeat starts now.
            expected_owner: who must be scanning or merging at present; "" for nobody, None for anyone.
            changes: of total_rows, started_at, finished_at, counts, forgiven, result_files, error_code,
                error_message.

        Returns:
            Whether this call did it; of several at once only one does.

        Raises:
            StatusTransitionError: `status.TRANSITIONS` does not have the move.
        """

    def job_heartbeat(self, job_id: str, owner: str) -> None:
        """Say that the owner still scans or merges."""

    def save_source(self, job_id: str, source: Source, *, scanner: str | None = None) -> bool:
        """Pin the source of a job that was created without a look at it.

        Args:
            scanner: the owner that must be scanning the job still; None for anyone, at any time.

        Returns:
            Whether it was written: False where the scan is another's by now, or over.
        """

    def save_plan(self, job_id: str, plan: Plan, *, scanner: str | None = None) -> bool:
        """Write what the first look found; a repeat overwrites. `scanner` and the answer are those of `save_source`."""

    def request_cancel(self, job_id: str) -> bool:
        """Raise the flag; False when the job has ended already. Repeating it is harmless."""

    def set_paused(self, job_id: str, paused: bool) -> bool:
        """Have no chunk begin, or let them begin again; False when the job has ended. Repeating it is harmless.

        When they may begin again, chunks that were sent and not begun become planned: their messages may
        have come, and gone, while the job was paused.
        """

    # Chunks

    def add_chunks(self, job_id: str, chunks: Sequence[Chunk], *, scanner: str | None = None) -> bool:
        """Append planned chunks; those that are there already stay as they are.

        `scanner` and the answer are those of `save_source`: a scan that was taken over while it slept may have begun
        to cut otherwise than the other one, and what it would add are rows that have their chunks.
        """

    def enlarge_chunks(self, job_id: str, enlarge: Callable[[Sequence[Chunk]], Sequence[Chunk]]) -> int:
        """Let chunks that nobody has ever begun take in those behind them.

        What is taken in stays as a chunk without bytes and rows, and done: a message that names it finds nothing to
        do, and a scan that is late, or done again, adds no row a second time.

        Args:
            enlarge: gets these chunks in order and returns those that become larger; see `chunk_sizes.enlarged`.

        Returns:
            How many were taken in.
        """

    def send_chunks(self, job_id: str, *, window: int) -> list[int]:
        """Take planned chunks for sending until `window` are in flight, in order; each is given to one caller only."""

    def next_turn(self, *, longest_waiting: bool = False) -> Turn | None:
        """The step that is due first, over all jobs: of the job with the fewest chunks in hand.

        Of equals that of the job whose next chunk lies nearest its start, then of the oldest job. A queued job
        waits to be planned; of a running one that takes work the first chunk that was sent is meant. Nothing is
        taken by it: who wants the step claims it, and asks again when another was quicker.

        Args:
            longest_waiting: instead the step that waits for the longest time.

        Returns:
            None when nothing waits.
        """

    def claim(self, job_id: str, chunk_index: int, *, owner: str, token: str) -> Claim | None:
        """Lease a chunk that is planned or sent, or whose owner is dead for certain. The attempt counts at once.

        Returns:
            None when there is nothing to do: done, leased by a living process, or the job takes no
            work at present (`Job.takes_work`).
        """

    def abandoned_chunk(self, job_id: str) -> int | None:
        """The first chunk that a process died on and nobody runs at present; None where there is none.

        A hint, which `claim` decides on: of several processes that ask at once one gets the chunk.
        """

    def heartbeat(self, claim: Claim) -> bool:
        """Say that the attempt lives; False when the chunk is no longer its own."""

    def watch_row(self, claim: Claim, row_index: int | None) -> None:
        """Remember the row that is about to run, so that its process's death can be put down to it; None for no row.

        Raises:
            LeaseLostError: the chunk is no longer this attempt's.
        """

    def work(self, claim: Claim, *, atomic: bool = True) -> AbstractContextManager[ChunkWork]:
        """The attempt's transaction; rolled back when the context ends by an exception.

        Args:
            atomic: False for a handler whose effects lie elsewhere, so that no transaction is held
                while its rows run (`engine.handlers.not_atomic`).
        """

    def release(self, claim: Claim, *, forget_deaths: bool = False) -> None:
        """Give a chunk back unharmed, as if this attempt had not been. Nothing happens when it is another's by now.

        Args:
            forget_deaths: count deaths on it from zero again; rows found guilty stay so.
        """

    def take_back(self, job_id: str, *, lease_seconds: float, resend_after_seconds: float) -> list[int]:
        """Find chunks whose owner is dead or silent, or whose message was never picked up, and mark them sent anew.

        Returns:
            The chunks to send, in order.
        """

    def drop_chunks(self, job_id: str) -> None:
        """Mark planned and sent chunks dropped, after a cancel or an error."""

    def restore_chunks(self, job_id: str) -> None:
        """Mark dropped chunks planned again, for a failed job that is resumed."""

    def chunk_states(self, job_id: str) -> Iterator[ChunkState]:
        """Every chunk in order."""

    def outcome(self, job_id: str, chunk_index: int) -> ChunkOutcome | None:
        """What a committed chunk came to; None as long as it is not."""

    def done_outcomes(self, job_id: str, chunk_indexes: range) -> Sequence[tuple[int, ChunkOutcome]] | None:
        """What these chunks came to, in order, each with its index; None while one of them is not done.

        Those that are not there are left out.
        """

    def unfinished_chunks(self, job_id: str) -> int:
        """How many chunks are neither done nor dropped."""

    def begun_chunks(self, job_id: str) -> int:
        """How many chunks are leased or done."""

    def messages(self, job_id: str) -> Mapping[str, int]:
        """Why rows of committed chunks were refused, the most frequent first; bounded, so counts may be too low."""

    def counts(self, job_id: str) -> Counts:
        """The recount: the sum over committed chunks."""

    def counts_by_chunk(self, job_id: str) -> Mapping[int, Counts]:
        """The committed chunks' counts."""

    def close(self) -> None:
        """Close connections of this process."""

"""The steps of all jobs in fair order: a small job ends soon, whatever waits before it in the queue.

A message still names a job and a chunk, but it is a ticket more than an order: whoever takes it does what is
due first (`Ledger.next_turn`). There are as many tickets as there is work that was sent, so that all of it is
done, in another order than that of the queue. It takes no queues of its own, and no priorities of the broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.errors import LedgerError
from engine.model import Turn
from engine.runtime.job_steps import JobSteps

#: For each second in which others go first, so many for what has waited longest: a quarter of all the time. So a
#: stream of small jobs starves no huge one.
_AMENDS = 1 / 3
#: Tries to get a turn before others do. Each try that fails is one that another process has won.
_TRIES = 20
#: Seconds until the winner has committed its claim.
_PAUSE_SECONDS = 0.01


def is_repeated(task: Any) -> bool:
    """Whether the message of a bound Celery task came before, to a process that was lost with it."""
    return bool((task.request.delivery_info or {}).get("redelivered"))


class FairSteps:
    """Plans and chunks of `JobSteps`, in fair order over all jobs of the ledger."""

    def __init__(
        self,
        steps: JobSteps,
        next_turn: Callable[..., Turn | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            next_turn: the ledger's.
        """
        self._steps = steps
        self._next_turn = next_turn
        self._clock = clock
        self._owed_seconds = 0.0  # to what has waited longest; below zero when it has had more

    def plan(self, job_id: str, *, is_repeated: bool = False) -> None:
        """Do what is due first; where that is of this job, plan it. See `chunk`."""
        self._take(Turn(job_id=job_id, chunk_index=None), is_repeated)

    def chunk(self, job_id: str, chunk_index: int, *, is_repeated: bool = False) -> None:
        """Do what is due first; where that is of this job, run this chunk. A ticket that comes twice does no harm.

        Args:
            is_repeated: the message came before, to a process that may have died over it: what it names goes first.
        """
        self._take(Turn(job_id=job_id, chunk_index=chunk_index), is_repeated)

    def _take(self, named: Turn, is_repeated: bool) -> None:
        if is_repeated and self._do(named):
            return
        is_named_open = not is_repeated
        makes_amends = self._owed_seconds > 0
        for number in range(_TRIES):
            due = self._due(longest_waiting=makes_amends)
            if due is None:
                break
            is_named = due.job_id == named.job_id and is_named_open
            if is_named:
                # Its own chunk is as good, and no other message names it.
                due, is_named_open = named, False
            elif number > 1:  # a winner has committed most of the time
                time.sleep(_PAUSE_SECONDS)
            began = self._clock()
            if self._do(due):
                seconds = self._clock() - began
                if makes_amends:
                    self._owed_seconds -= seconds
                elif not is_named:
                    self._owed_seconds += _AMENDS * seconds
                return
        if is_named_open:
            self._do(named)

    def _due(self, *, longest_waiting: bool) -> Turn | None:
        try:
            return self._next_turn(longest_waiting=longest_waiting)
        except LedgerError:  # what is named is tried all the same, and says what is wrong
            return None

    def _do(self, turn: Turn) -> bool:
        if turn.chunk_index is None:
            return self._steps.plan(turn.job_id)
        return self._steps.chunk(turn.job_id, turn.chunk_index)

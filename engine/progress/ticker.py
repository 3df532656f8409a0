"""What an attempt tells the counters, and how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from engine.errors import ServiceUnavailableError
from engine.model import Counts
from engine.progress.protocol import ProgressStore

logger = logging.getLogger(__name__)

#: Seconds for which a store that did not answer is left alone: a chunk must not wait for counters.
PAUSE_SECONDS = 5.0


class Ticker:
    """Passes one attempt's counts on to the store, at most once an interval, and the cancel flag back.

    Counters are a convenience, the ledger is the truth: a store that does not answer is logged and
    left alone for a while, never an error of the chunk.

        with Ticker(store, job_id, chunk_index, attempt, interval_seconds=0.1, rebuild=rebuild) as ticker:
            for batch in batches:
                ...
                if ticker.tick(counts):
                    break
            ...  # commit
            ticker.done(counts)
    """

    def __init__(
        self,
        store: ProgressStore,
        job_id: str,
        chunk_index: int,
        attempt: int,
        *,
        interval_seconds: float,
        rebuild: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent yet; the first interval begins now.

        Args:
            rebuild: called when the counters are missing: to `begin` them from the ledger, with
                `only_if_missing`. None where that is somebody else's business.
            clock: seconds, never going back.
        """
        self._store = store
        self._job_id = job_id
        self._chunk_index = chunk_index
        self._attempt = attempt
        self._interval_seconds = interval_seconds
        self._rebuild = rebuild
        self._clock = clock
        self._due = clock() + interval_seconds
        self._paused_until: float | None = None
        self._unsent: Counts | None = None
        self._cancel_requested = False
        self._is_done = False

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel had been requested when the store was last asked."""
        return self._cancel_requested

    def tick(self, counts: Counts, *, force: bool = False) -> bool:
        """Take the attempt's counts so far, to be called at the end of every batch.

        Args:
            counts: cumulative, from the beginning of the chunk.
            force: send them now, whenever the last were sent.

        Returns:
            Whether a cancel was requested, as far as is known.
        """
        self._unsent = counts
        if force or self._clock() >= self._due:
            self._send(counts)
        return self._cancel_requested

    def done(self, counts: Counts) -> None:
        """Send the counts of the committed chunk, always; later ones are ignored. Repeating it changes nothing."""
        self._is_done = True
        # The last word on this chunk is worth a try even while the store is left alone.
        self._paused_until = None
        self._send(counts)

    def close(self) -> None:
        """Send what was not sent yet. Repeating it changes nothing."""
        if self._unsent is not None and not self._is_done:
            self._send(self._unsent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, counts: Counts) -> None:
        now = self._clock()
        if self._paused_until is not None and now < self._paused_until:
            return
        try:
            cancel_requested = self._record(counts)
            if cancel_requested is None and self._rebuild is not None:
                self._rebuild()
                cancel_requested = self._record(counts)
        except ServiceUnavailableError as error:
            self._paused_until = self._clock() + PAUSE_SECONDS
            logger.warning(
                "progress is not updated",
                extra={"job_id": self._job_id, "chunk_index": self._chunk_index, "reason": error.message},
            )
            return
        self._paused_until = None
        self._unsent = None
        self._due = now + self._interval_seconds
        # Missing counters say nothing about a cancel; what was known stays.
        if cancel_requested is not None:
            self._cancel_requested = cancel_requested

    def _record(self, counts: Counts) -> bool | None:
        return self._store.record(self._job_id, self._chunk_index, self._attempt, counts, done=self._is_done)

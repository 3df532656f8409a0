"""The lease of a chunk, kept while its rows run."""

from __future__ import annotations

import logging
import threading
import time
from typing import Self

from engine.errors import LeaseLostError, LedgerError
from engine.ledger import Ledger
from engine.model import Claim

logger = logging.getLogger(__name__)


class Heartbeat:
    """Keeps a lease alive from a thread of its own while the rows run."""

    def __init__(self, ledger: Ledger, claim: Claim, interval_seconds: float) -> None:
        self._ledger = ledger
        self._claim = claim
        self._interval_seconds = interval_seconds
        self._is_lost = False
        self._beaten_at = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="rowmill-heartbeat", daemon=True)

    def check(self) -> None:
        """Raise LeaseLostError once the lease is known to be gone: rows run from then on would be run twice."""
        if time.time() - self._beaten_at > 2 * self._interval_seconds:
            # This process was stopped, or has been too busy for its heartbeat: another may have taken over.
            self._beat()
        if self._is_lost:
            raise LeaseLostError(
                f"Attempt {self._claim.attempt} of chunk {self._claim.chunk.chunk_index} of job {self._claim.job_id} "
                "lost its lease.",
                job_id=self._claim.job_id,
                chunk_index=self._claim.chunk.chunk_index,
                attempt=self._claim.attempt,
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_beating(self) -> None:
        while not self._is_lost and not self._ended.wait(self._interval_seconds):
            self._beat()

    def _beat(self) -> None:
        try:
            self._is_lost = not self._ledger.heartbeat(self._claim)
            self._beaten_at = time.time()
        except LedgerError:  # the next beat may get through, and the commit tells in the end
            logger.warning("heartbeat failed", extra={"job_id": self._claim.job_id}, exc_info=True)

"""The status of running jobs beside their counters, so that who asks again and again does not reach the database.

A note in Redis holds what changes at a job's end only: the body of the status response, its counts
apart, with the owner among it. It is kept for jobs that are running and have live counters, and
dropped when they end; the database answers for all others, and for every job while Redis is away.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ServiceUnavailableError
from engine.progress import ProgressSnapshot, RedisProgress

logger = logging.getLogger(__name__)

#: Life of a note, in seconds: the longest that an end goes unseen whose worker could not reach Redis. That of a worker
#: which died before it could say so is seen by the next look of the recovery loop.
TTL_SECONDS = 30
#: Seconds for which a Redis that did not answer is not asked again: every try takes its time.
PAUSE_SECONDS = 5.0
#: Seconds after a change in which no note is kept; a request that read the row before the change has ended by then.
SHUT_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStatus:
    """What is shown of a running job at this moment."""

    body: dict[str, Any]
    """The status response; its counts are of the moment at which it was kept."""
    snapshot: ProgressSnapshot
    """The live counters."""


class RunningStatuses:
    """Notes under both names that a job may be asked for by: its own id, and its Celery task's."""

    def __init__(self, progress: RedisProgress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._paused_until = -math.inf

    def find(self, task_id: str) -> RunningStatus | None:
        """A running job that was asked for before; None also when Redis is away."""
        if self._clock() < self._paused_until:
            return None
        try:
            return self._find(task_id)
        except ServiceUnavailableError:
            self._paused_until = self._clock() + PAUSE_SECONDS
            logger.warning("kept status away")
            return None

    def _find(self, task_id: str) -> RunningStatus | None:
        note, snapshot = self._progress.note_and_snapshot(task_id)
        if note is None:
            return None
        body = json.loads(note)
        if snapshot is None:  # asked for by its Celery task, or without counters
            snapshot = self._progress.snapshot(body["id"])
        return None if snapshot is None else RunningStatus(body=body, snapshot=snapshot)

    def keep(self, job_id: str, celery_task_id: str, body: Mapping[str, Any]) -> None:
        """Note the body of a running job. Nothing happens when Redis is away."""
        if self._clock() < self._paused_until:
            return
        try:
            # What JSON has no form for, as the UUID of a user, is told by its text in the response as well.
            text = json.dumps(body, default=str)
            self._progress.keep_note(_names(job_id, celery_task_id), text, ttl_seconds=TTL_SECONDS)
        except ServiceUnavailableError:
            self._paused_until = self._clock() + PAUSE_SECONDS
            logger.warning("status is not kept", extra={"job_id": job_id})

    def drop(self, job_id: str, celery_task_id: str) -> bool:
        """Forget it, at the job's end. False when Redis is away: then it goes by itself, in `TTL_SECONDS`."""
        try:
            self._progress.drop_note(_names(job_id, celery_task_id), shut_seconds=SHUT_SECONDS)
        except ServiceUnavailableError:
            logger.warning("status may be out of date", extra={"job_id": job_id})
            return False
        return True


def _names(*ids: str) -> list[str]:
    return [name for name in ids if name]

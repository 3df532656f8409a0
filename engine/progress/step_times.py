"""How long steps of jobs took, summed up over all workers for whoever watches them."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.errors import ServiceUnavailableError

logger = logging.getLogger(__name__)

#: Upper bounds of the buckets, in seconds: a chunk should take 0.1 to 25.
BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 300.0, math.inf)
#: Seconds for which a store that did not answer is left alone: no step waits for its measurement.
PAUSE_SECONDS = 5.0
_NAME = "step_times"
_SUM = "sum"


class SumStore(Protocol):
    """Where sums are kept under names; `RedisProgress` is one."""

    def add_sums(self, name: str, values: Mapping[str, float]) -> None:
        """Add to each field, in one step. Raises ServiceUnavailableError."""

    def sums(self, name: str) -> Mapping[str, float]:
        """All fields. Raises ServiceUnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What one kind of step took."""

    buckets: tuple[tuple[float, int], ...]
    """Upper bound in seconds → how many took no longer, of those in lower buckets too."""
    sum_seconds: float


class StepTimes:
    """Counts of steps by how long they took. The number of fields is bounded: steps × outcomes × buckets."""

    def __init__(self, store: SumStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds, never going back.
        """
        self._store = store
        self._clock = clock
        self._paused_until = -math.inf

    def observe(self, step: str, outcome: str, seconds: float) -> None:
        """Count one; lost without a word when the store is away, as a step must not wait for it."""
        if self._clock() < self._paused_until:
            return
        number = next(number for number, bound in enumerate(BUCKETS_SECONDS) if seconds <= bound)
        try:
            self._store.add_sums(_NAME, {f"{step} {outcome} {number}": 1, f"{step} {outcome} {_SUM}": seconds})
        except ServiceUnavailableError:
            self._paused_until = self._clock() + PAUSE_SECONDS
            logger.warning("step times away")

    def read(self) -> Mapping[tuple[str, str], Times]:
        """Step and outcome → its times. Raises ServiceUnavailableError."""
        found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for field, value in self._store.sums(_NAME).items():
            step, outcome, place = field.split(" ")
            found[step, outcome][place] = value
        return {key: _times(values) for key, values in sorted(found.items())}


def _times(values: Mapping[str, float]) -> Times:
    buckets, count = [], 0
    for number, bound in enumerate(BUCKETS_SECONDS):
        count += int(values.get(str(number), 0))
        buckets.append((bound, count))
    return Times(buckets=tuple(buckets), sum_seconds=values.get(_SUM, 0.0))

"""Whether a piece of work takes time in proportion to its input."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

#: Seconds that do not count: what a call costs before it has done anything.
_FIXED_SECONDS = 0.02
#: Measured so often before it counts: others on the machine take the caches, which is felt by the larger input alone.
_ROUNDS = 5


def seconds(work: Callable[[], object], *, tries: int = 3) -> float:
    """Processor time of the fastest try, so that a busy machine does not matter.

    The garbage collector rests meanwhile: a large input has it look through all that the process holds, and after
    many tests that is a lot.
    """
    spent = []
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(tries):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
    finally:
        if was_enabled:
            gc.enable()
    return min(spent)


def assert_linear(work: Callable[[bytes], object], data: bytes) -> None:
    """Four times the input may take twice four times as long; what grows with its square takes sixteen times."""
    small = large = 0.0
    for _ in range(_ROUNDS):
        small = seconds(lambda: work(data), tries=2)
        large = seconds(lambda: work(data * 4), tries=1)
        if large < 8 * (small + _FIXED_SECONDS):
            return
    raise AssertionError(f"{len(data):,} bytes: {small:.3f} s, four times: {large:.3f} s")

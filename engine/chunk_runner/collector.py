"""Python's garbage collector while rows run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Objects by which allocations must outrun deallocations before the garbage collector looks at the
#: youngest. Python's own 700 makes it walk every slice of rows: a quarter of the time in row mode.
_GC_THRESHOLD = 100_000


@contextmanager
def relaxed_collector() -> Iterator[None]:
    """Keep the garbage collector from walking the rows in hand; what it was set to comes back."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _GC_THRESHOLD) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def resting_collector() -> Iterator[None]:
    """Keep the garbage collector from looking at what is loaded meanwhile, now and later: modules stay.

    For a process of the engine's own, as whatever is garbage by then stays as well.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Before it is on again: its first look would be at all of that.
        gc.freeze()
        if was_on:
            gc.enable()

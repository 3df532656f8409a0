"""How the C library of a worker deals with memory, so that a process stays as small as what it holds."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

#: glibc's names for what can be set (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Bytes from which a block is mapped by itself, and so goes back to the system when it is freed. glibc raises its own
#: limit to the largest block ever freed (up to 32 MiB): blocks of a source then leave holes that nothing fits into.
_MAPPED_BYTES = 1024 * 1024
#: The same for a process that asks for blocks of this size again and again: to map and clear one costs a twentieth of
#: the time of cheap rows.
_KEPT_BYTES = 4 * 1024 * 1024
#: Pools of memory that threads share; glibc would give eight to each processor, and each keeps what it once needed.
_POOLS = 2


@cache
def keep_process_small() -> None:
    """To be called where blocks of sources are read, by processes that are the engine's own; once is enough.

    Elsewhere than under glibc nothing happens.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_ARENA_MAX, _POOLS)


@cache
def bound_heap() -> None:
    """As `keep_process_small`, for processes that run chunk after chunk of one job: what is small is kept for the next.

    What lies in the heap above a large block that is freed, however small, would keep its place from going back, and
    the next block, a byte longer, would not fit into it: two chunks and two parts in place of one.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, _POOLS)

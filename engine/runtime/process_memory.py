"""How the C library of a worker deals with memory: blocks of a source are large, and many threads hold some.

Of a chunk each buffer is wanted again, as large, for the next one: giving it back to the system costs a page fault
for every 4 KiB of it, a sixth of the processor time in batch mode. A scan or a merge holds blocks in several threads,
and what each of them keeps would add up.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import Any

#: glibc's names for what can be set (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MIB = 1024 * 1024
#: Bytes from which a block is mapped by itself, and so goes back when it is freed. glibc would raise its limit to the
#: largest block ever freed: blocks of a source then leave holes that nothing fits.
_MAPPED_BYTES_GIVEN_BACK = _MIB
#: The most free bytes at the heap's end: room for the slices of a scan, which would be new each time.
_FREE_BYTES_GIVEN_BACK = 4 * _MIB
#: Most blocks of a chunk that is run as rows by a local worker, as frames by one, and by a worker of a queue, whose
#: chunks have up to 7 MiB, and their parts more. What outlives its chunk, as a text in a handler's cache, may keep one
#: such block from being used again.
ROWS_BYTES, CHUNK_BYTES, QUEUE_CHUNK_BYTES = 4 * _MIB, 8 * _MIB, 12 * _MIB
#: Pools of memory that threads share; glibc would give eight to each processor, and each keeps what it once needed.
_POOLS = 2


def keep_freed_memory(largest_bytes: int, *, free_blocks: int = 2) -> None:
    """To be called before chunks are run, by processes that are the engine's own.

    Elsewhere than under glibc nothing happens, as below.

    Args:
        largest_bytes: of a block that is kept for the next one.
        free_blocks: how many of that size the heap's end may hold free.
    """
    _set(largest_bytes, free_blocks * largest_bytes)


def give_back_freed_memory() -> None:
    """To be called before a source is scanned or parts are merged; what was kept until then goes back at once."""
    _set(_MAPPED_BYTES_GIVEN_BACK, _FREE_BYTES_GIVEN_BACK)
    with suppress(AttributeError):
        _c_library().malloc_trim(0)


def _set(mapped_bytes: int, free_bytes: int) -> None:
    with suppress(OSError, AttributeError):
        mallopt = _c_library().mallopt
        mallopt(_M_MMAP_THRESHOLD, mapped_bytes)
        mallopt(_M_TRIM_THRESHOLD, free_bytes)
        mallopt(_M_ARENA_MAX, _POOLS)


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None)

"""Who holds a lease: a name for one process that others can test for life.

A process id alone is reused and means nothing on another machine. The name therefore carries the
boot, the process-id namespace and the process's start time as well, and a verdict is given only
where the asker shares boot and namespace with the owner.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


def this_process() -> str:
    """The name of the calling process; another one after a fork."""
    return f"{_place()}|{os.getpid()}|{_start_time(os.getpid()) or ''}"


def is_dead(owner: str) -> bool | None:
    """Whether that process is gone: True or False for certain, None where that cannot be told from here."""
    place, _, rest = owner.rpartition("|")[0].rpartition("|")
    started = owner.rpartition("|")[2]
    if place != _place() or not rest.isdigit():
        return None
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    now = _start_time(pid)
    if now is None:
        # No such entry where there was one before: it has just gone. Without /proc, alive is all we know.
        return bool(started)
    return now != started


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: one machine is told from another by its name
        return platform.node()
    return f"{platform.node()}/{boot}/{namespace}"


def _start_time(pid: int) -> str | None:
    """Clock ticks after boot at which the process started; None for one that is gone, a zombie, or without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended, though its parent has not asked for its exit code yet.
    return None if fields[0] in ("Z", "X") else fields[19]

"""Who holds a lease: a name for one process that others can test for life.

A process id alone is reused and means nothing on another machine. The name therefore carries the
boot, the process-id namespace and the process's start time as well, and a verdict is given only
where the asker shares boot and namespace with the owner.
"""

from __future__ import annotations

import os
from pathlib import Path

#: States of a process that has ended, though its parent has not asked for its exit code yet.
_ENDED = ("Z", "X")


def this_process() -> str:
    """The name of the calling process; another one after a fork."""
    state = _state(os.getpid())
    return f"{_place()}|{os.getpid()}|{state[1] if state else ''}"


def is_dead(owner: str) -> bool | None:
    """Whether that process is gone: True or False for certain, None where that cannot be told from here."""
    rest, _, started = owner.rpartition("|")
    place, _, number = rest.rpartition("|")
    if place != _place() or not number.isdecimal() or int(number) == 0:
        return None
    pid = int(number)
    if not _exists(pid):
        return True
    state = _state(pid)
    if state is not None:
        return state[0] in _ENDED or state[1] != started
    if not _exists(pid):
        return True
    # There is no /proc, so that alive is all we know; or it hides the processes of other users.
    return None if started else False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: one machine is told from another by its name
        return os.uname().nodename
    return f"{os.uname().nodename}/{boot}/{namespace}"


def _state(pid: int) -> tuple[str, str] | None:
    """One letter for what the process is doing, and the clock tick after boot at which it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]

"""Ends the processes of `scripts/serve` when that was killed outright and could not do it itself.

Reads lines `+PID` and `-PID` of process groups that began and ended. The end of its input is the
end of whoever writes them; what began and has not ended is ended then.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

_GRACE_SECONDS = 5.0


def main() -> None:
    """Wait for the end of the input, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left: set[int] = set()
    for line in sys.stdin:
        change = left.add if line[0] == "+" else left.discard
        change(int(line[1:]))
    for leader in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(map(_lives, left)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in left:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    main()

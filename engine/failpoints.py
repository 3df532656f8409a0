"""Places at which a test can have a process fail, each named; in production nothing is armed, and a hit is one look.

ROWMILL_FAILPOINTS arms them for all processes that inherit it: `point:action:n`, several with commas
between. The n-th hit of that point fails, counted over all processes together, so that whoever takes
the work over gets through. ROWMILL_FAILPOINTS_DIR names an empty folder in which hits are counted.

    ROWMILL_FAILPOINTS=chunk.marked:kill:2 ROWMILL_FAILPOINTS_DIR=/tmp/hits celery -A project worker
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

#: Every point, in the order in which a job comes to them, and where it is.
POINTS: Mapping[str, str] = {
    "plan.begun": "the job is being scanned, nothing is planned",
    "plan.chunks_added": "chunks are in the ledger, the scan has not ended",
    "plan.ended": "the job takes work, none of it is sent",
    "chunks.marked_sent": "the ledger says that chunks are sent; the broker has none of them",
    "chunks.enlarged": "what nobody has begun is in larger chunks, the next ones are not sent",
    "chunk.claimed": "leased, no transaction yet",
    "chunk.begun": "in the transaction, before the first row",
    "chunk.batch": "after a batch",
    "part.before_write": "before one of a chunk's two parts is stored",
    "part.written": "after it",
    "multipart.begun": "S3: the upload of a large object has begun, it has no piece yet",
    "multipart.piece": "S3: one of its pieces is under way, the others are not",
    "multipart.completing": "S3: all pieces are there, the object is not",
    "multipart.completed": "S3: the object is there, its size is not checked yet",
    "chunk.marked": "marked done, before COMMIT",
    "chunk.committed": "after COMMIT, before the live counters",
    "chunk.counted": "after the live counters, before the next chunks are sent",
    "bundle.stored": "S3: the parts of some chunks are stored as one object, which has no seal yet",
    "finish.begun": "the job is being merged, nothing is written",
    "finish.fragment": "XLSX: a piece of the rows of an Excel file is stored, the others are not",
    "concatenate.completing": "all of a result file is there, and not yet visible",
    "finish.success_file": "the first of the two result files is there",
    "finish.files_made": "both are there, the job has not ended",
    "finish.ended": "the job has ended, its parts are not swept",
}
ACTIONS = ("raise", "exit", "kill", "hang")
_VARIABLE = "ROWMILL_FAILPOINTS"


class FailpointError(Exception):
    """What the action `raise` raises: an error that nobody expects."""


@dataclass(frozen=True, slots=True)
class _Armed:
    action: str
    nth: int
    folder: Path


_armed: Mapping[str, _Armed] | None = None


def hit(point: str) -> None:
    """Fail here, if this hit of this point is to fail."""
    if _armed is not None:
        _hit(point, _armed)


def arm(environ: Mapping[str, str]) -> None:
    """Take over what the environment arms; nothing of it, and nothing is armed.

    Raises:
        ValueError: it is not of the form above, or names what is not there.
    """
    global _armed
    orders = environ.get(_VARIABLE)
    if not orders:
        _armed = None
        return
    folder = environ.get(f"{_VARIABLE}_DIR")
    if not folder:
        raise ValueError(f"{_VARIABLE} needs {_VARIABLE}_DIR: a folder in which hits are counted.")
    armed = {}
    for order in orders.split(","):
        point, _, rest = order.partition(":")
        action, _, nth = rest.partition(":")
        if point not in POINTS or action not in ACTIONS or not (nth or "1").isdecimal():
            raise ValueError(f"{_VARIABLE}: {order!r} is not point:action:n; see engine/failpoints.py.")
        armed[point] = _Armed(action, int(nth or 1), Path(folder))
    _armed = armed


def _hit(point: str, armed: Mapping[str, _Armed]) -> None:
    order = armed.get(point)
    if order is None or _count(order.folder, point) != order.nth:
        return
    if order.action == "raise":
        raise FailpointError(f"failpoint {point}")
    if order.action == "exit":
        raise SystemExit(f"failpoint {point}")
    # A process that hangs is one that was stopped: SIGCONT makes a zombie of it.
    os.kill(os.getpid(), signal.SIGKILL if order.action == "kill" else signal.SIGSTOP)


def _count(folder: Path, point: str) -> int:
    """Which hit of the point this is, over all processes."""
    for number in count(1):
        try:
            (folder / f"{point}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError  # count() does not end


arm(os.environ)

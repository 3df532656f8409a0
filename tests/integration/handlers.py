"""Handlers that the integration tests name by path; worker processes import them."""

from __future__ import annotations

import atexit
import os
import signal
import time
from pathlib import Path
from typing import Any

#: Position of `arr_time` in the flights.
ARRIVAL = 6


def has_arrived(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """A flight without an arrival time fails."""
    if row[ARRIVAL] in ("", "NA"):
        return {"ok": False, "error": f"flight {row[9]}{row[10]} has no arrival time"}
    return {"ok": True, "result": {"row": row_index, "arrival": int(row[ARRIVAL])}}


def has_arrived_or_dies(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """As `has_arrived`, and kills its own process the first time it comes to each row of `options["dies_on"]`.

    `options["marks"]` is a folder in which it remembers that.
    """
    if row_index in options["dies_on"]:
        mark = Path(options["marks"]) / str(row_index)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return has_arrived(row_index, row, import_job_id, options)


def has_arrived_slowly(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """As `has_arrived`, taking `options["seconds_per_100_rows"]` for every 100 rows."""
    if row_index % 100 == 0:
        time.sleep(options["seconds_per_100_rows"])
    return has_arrived(row_index, row, import_job_id, options)


def accept(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Every row is fine."""
    return {"ok": True, "result": {"row": row_index}}


def _tell_peak(folder: Path) -> None:
    """At its end, the peak of the process's resident memory in kB."""
    status = Path("/proc/self/status").read_text()
    (folder / str(os.getpid())).write_text(status.split("VmHWM:")[1].split()[0])


if "TEST_PEAKS" in os.environ:
    atexit.register(_tell_peak, Path(os.environ["TEST_PEAKS"]))

#: What a handler's module holds on to, as a cache of lookups does.
_remembered: list[str] = []


def accept_and_remember(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Every row is fine, and something small of every thousandth stays in memory."""
    if row_index % 1000 == 0:
        _remembered.append(row[3] * 4 + row[0])
    return {"ok": True, "result": {"row": row_index}}

"""Handlers that the command line's tests name by path."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

#: Seconds after which a row that waits goes on, so that a test that has failed holds nobody up.
_PATIENCE_SECONDS = 90.0
#: No handler: a value that cannot be called.
NOT_CALLABLE = 42


def accept(row_index: int, _row: list[str], _import_job_id: str, _options: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": {"row": row_index}}


def refuse_sevenths(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuses every seventh row.

    Options: `delay_seconds` that each row takes; `gate`, a file for which the rows from `gate_row` on wait, so that a
    test steps in when it likes.
    """
    time.sleep(options.get("delay_seconds", 0))
    if row_index >= options.get("gate_row", row_index + 1):
        _wait_for(Path(options["gate"]))
    if row_index % 7 == 0:
        return {"ok": False, "error": f"row {row_index} is a seventh"}
    return accept(row_index, row, import_job_id, options)


def chatty(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    print("a handler talks", row_index)
    return accept(row_index, row, import_job_id, options)


def echo_options(_row_index: int, _row: list[str], _import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": options}


def _wait_for(gate: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not gate.exists() and time.monotonic() < deadline:
        time.sleep(0.005)

"""Handlers that the command line's tests name by path."""

from __future__ import annotations

import time
from typing import Any

#: No handler: a value that cannot be called.
NOT_CALLABLE = 42


def accept(row_index: int, _row: list[str], _import_job_id: str, _options: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": {"row": row_index}}


def refuse_sevenths(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuses every seventh row; takes `delay_seconds` for each, so that a test can step in."""
    time.sleep(options.get("delay_seconds", 0))
    if row_index % 7 == 0:
        return {"ok": False, "error": f"row {row_index} is a seventh"}
    return accept(row_index, row, import_job_id, options)


def chatty(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    print("a handler talks", row_index)
    return accept(row_index, row, import_job_id, options)


def echo_options(_row_index: int, _row: list[str], _import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": options}

"""The row handlers of `scripts/demo`."""

from __future__ import annotations

from typing import Any

#: Columns of flights.csv, counted from 0.
_ARRIVAL_TIME, _CARRIER, _FLIGHT = 6, 9, 10
#: Columns of airports.csv.
_CODE, _CITY, _TIME_ZONE = 0, 3, 9


def flight(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuse a flight that never arrived; its time of arrival is empty or NA."""
    if len(row) <= _FLIGHT:
        return {"ok": False, "error": f"A flight has at least {_FLIGHT + 1} cells, this one {len(row)}."}
    if row[_ARRIVAL_TIME] in ("", "NA"):
        return {"ok": False, "error": "There is no time of arrival."}
    return {"ok": True, "result": {"flight": f"{row[_CARRIER]} {row[_FLIGHT]}"}}


def airport(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuse an airport that belongs to no city."""
    if len(row) <= _TIME_ZONE:
        return {"ok": False, "error": f"An airport has at least {_TIME_ZONE + 1} cells, this one {len(row)}."}
    if not row[_CITY].strip():
        return {"ok": False, "error": "There is no city."}
    return {"ok": True, "result": {"code": row[_CODE], "time_zone": row[_TIME_ZONE]}}

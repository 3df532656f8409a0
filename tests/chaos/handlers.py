"""A handler that costs next to nothing, so that what is tested is the engine and not the handler."""

from __future__ import annotations

from typing import Any

from django.db import connection
from travel.import_handlers import UNKNOWN

import engine


@engine.batch_handler
def note_flights(first_row_index: int, batch: Any, import_job_id: str, options: dict[str, Any]) -> list[str | None]:
    """Decide as the example project does, and write the least that a flight needs."""
    refused = [arrival in UNKNOWN for arrival in batch["column 6"]]
    accepted = [first_row_index + number for number, is_refused in enumerate(refused) if not is_refused]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO travel_flight (day, carrier, number, tail_number, origin, destination, arrival_time,"
            " import_job_id, row_index) SELECT '2013-01-01', '', 0, '', '', '', '00:00', %s, unnest(%s::bigint[])",
            [import_job_id, accepted],
        )
    return ["There is no time of arrival" if is_refused else None for is_refused in refused]

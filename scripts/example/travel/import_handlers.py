"""What becomes of one row of an uploaded file."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from travel.models import Airport, Flight

#: Columns of airports.csv: icao, iata, name, city, subd, country, elevation, lat, lon, tz, lid.
AIRPORT_COLUMNS = 11
#: Columns of flights.csv: year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
#: carrier, flight, tailnum, origin, dest, and what nobody asked for here.
FLIGHT_COLUMNS = 14
#: How the flights' file writes that it does not know.
UNKNOWN = ("", "NA")


def import_airport(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Create an airport, or update the one with the same ICAO code.

    Options:
        update_existing: false refuses airports that are there already; true by default.
    """
    if len(row) < AIRPORT_COLUMNS:
        return {"ok": False, "error": f"An airport has {AIRPORT_COLUMNS} cells, this one {len(row)}"}
    icao, iata, name, city, _, country, elevation, latitude, longitude, time_zone = (cell.strip() for cell in row[:10])
    if len(icao) != 4 or not icao.isalnum():
        return {"ok": False, "error": f"An ICAO code has four letters or digits, not {icao!r}"}
    if not name:
        return {"ok": False, "error": "Name is required"}
    if not city:
        return {"ok": False, "error": "City is required"}
    try:
        values = {
            "iata": iata,
            "name": name,
            "city": city,
            "country": country,
            "elevation_feet": number(elevation, "Elevation") if elevation else None,
            "latitude": degrees(latitude, "Latitude", limit=90),
            "longitude": degrees(longitude, "Longitude", limit=180),
            "time_zone": time_zone,
        }
        if options.get("update_existing", True):
            airport, created = Airport.objects.update_or_create(icao=icao, defaults=values)
        else:
            airport, created = Airport.objects.get_or_create(icao=icao, defaults=values)
            if not created:
                return {"ok": False, "error": f"Airport {icao} exists already"}
        return {"ok": True, "result": {"id": airport.pk, "created": created}}
    except Exception as e:
        return {"ok": False, "error": str(e)}


def import_flight(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Create one flight per row; those that never arrived are refused."""
    if len(row) < FLIGHT_COLUMNS:
        return {"ok": False, "error": f"A flight has at least {FLIGHT_COLUMNS} cells, this one {len(row)}"}
    year, month, day, _, _, _, arrival, _, _, carrier, flight_number, tail_number, origin, destination = row[
        :FLIGHT_COLUMNS
    ]
    if arrival.strip() in UNKNOWN:
        return {"ok": False, "error": "There is no time of arrival"}
    try:
        flight = Flight.objects.create(
            day=date(int(year), int(month), int(day)),
            carrier=carrier,
            number=int(flight_number),
            tail_number="" if tail_number in UNKNOWN else tail_number,
            origin=origin,
            destination=destination,
            arrival_time=clock(arrival),
            import_job_id=import_job_id,
            row_index=row_index,
        )
        return {"ok": True, "result": {"id": flight.pk}}
    except Exception as e:
        return {"ok": False, "error": str(e)}


def check_flight(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Look at a flight as `import_flight` does, and keep nothing: a trial run of a large file."""
    if len(row) < FLIGHT_COLUMNS:
        return {"ok": False, "error": f"A flight has at least {FLIGHT_COLUMNS} cells, this one {len(row)}"}
    if row[6].strip() in UNKNOWN:
        return {"ok": False, "error": "There is no time of arrival"}
    return {"ok": True, "result": {"flight": f"{row[9]} {row[10]}"}}


def number(text: str, name: str) -> float:
    """A number. Raises ValueError with a message for the user."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None


def degrees(text: str, name: str, *, limit: int) -> float:
    """A coordinate. Raises ValueError with a message for the user."""
    if not text:
        raise ValueError(f"{name} is required")
    value = number(text, name)
    if not -limit <= value <= limit:
        raise ValueError(f"{name} must be between -{limit} and {limit}, not {text}")
    return value


def clock(text: str) -> time:
    """A time such as `517` or `2359`; `2400` is midnight. Raises ValueError with a message for the user."""
    try:
        hour, minute = divmod(int(text), 100)
        return time(0 if (hour, minute) == (24, 0) else hour, minute)
    except ValueError:
        raise ValueError(f"A time must be of the form 1530, not {text!r}") from None

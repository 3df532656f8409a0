"""`python -m benchmarks.bulk_upsert`: bulk_upsert on PostgreSQL as a ratio to raw COPY + INSERT ON CONFLICT.

Fair: both write the same rows into the same indexed table, in the same batches, each round into an empty table and
then once more over what is there; both run in one transaction per batch. The raw way gets values that are already
clean and checks nothing: what bulk_upsert takes longer is parsing, field validation, foreign keys and the ids.
Durability of the server is switched off, for both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

HEADER = ["carrier", "number", "day", "price", "note"]
_CARRIERS = [f"C{number:02d}" for number in range(50)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_upsert", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows (default: 200,000)")
    parser.add_argument("--batch-size", type=int, default=50_000, help="rows of a batch (default: 50,000)")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one warm-up (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    from tests.postgres_server import start_postgres

    with start_postgres() as url:
        figures = _measure(url, arguments.rows, arguments.batch_size, arguments.rounds)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.platform()}
    facts = {**machine, "rows": arguments.rows, "batch_size": arguments.batch_size, "rounds": arguments.rounds}
    if arguments.json:
        print(json.dumps({"machine": facts, "cases": figures}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for name, each in figures.items():
        print(
            f"{name:<36}{each['seconds']:>8.2f} s{each['rows_per_second']:>12,.0f} rows/s"
            f"   × raw {each['times_raw']:.2f} ({each['least']:.2f}..{each['most']:.2f})"
        )


def _rows(count: int) -> list[list[str]]:
    choice = random.Random(20_261_124)  # noqa: S311 - data, not secrets
    return [
        [
            choice.choice(_CARRIERS),
            str(number),
            f"2024-{choice.randint(1, 12):02d}-{choice.randint(1, 28):02d}",
            f"{choice.randrange(10**6) / 100:.2f}",
            f"note {choice.randrange(10**5)}",
        ]
        for number in range(count)
    ]


def _measure(url: str, count: int, batch_size: int, rounds: int) -> dict[str, Any]:
    from django.conf import settings

    parts = urlsplit(url)
    settings.configure(
        INSTALLED_APPS=[],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts.path.lstrip("/"),
                "USER": parts.username,
                "PASSWORD": parts.password or "",
                "HOST": parts.hostname,
                "PORT": parts.port,
            }
        },
    )
    import django

    django.setup()
    import polars
    from django.db import connection, models, transaction

    from django_integration.imports.bulk import Lookup, bulk_upsert

    class Carrier(models.Model):
        code = models.CharField(max_length=3, unique=True)

        class Meta:
            app_label = "benchmarks"

        def __str__(self) -> str:
            return self.code

    class Departure(models.Model):
        carrier = models.ForeignKey(Carrier, on_delete=models.CASCADE)
        number = models.IntegerField()
        day = models.DateField()
        price = models.DecimalField(max_digits=8, decimal_places=2)
        note = models.CharField(max_length=40, blank=True)

        class Meta:
            app_label = "benchmarks"
            constraints = (models.UniqueConstraint(fields=["carrier", "number"], name="one_departure"),)

        def __str__(self) -> str:
            return f"{self.carrier} {self.number}"

    with connection.schema_editor() as editor:
        editor.create_model(Carrier)
        editor.create_model(Departure)
    Carrier._default_manager.bulk_create([Carrier(code=code) for code in _CARRIERS])
    keys = dict(Carrier._default_manager.values_list("code", "pk"))
    rows = _rows(count)
    batches = [rows[start : start + batch_size] for start in range(0, count, batch_size)]
    frames = [polars.DataFrame(batch, schema=dict.fromkeys(HEADER, polars.String), orient="row") for batch in batches]
    clean = ["".join("\t".join([str(keys[row[0]]), *row[1:]]) + "\n" for row in batch).encode() for batch in batches]
    columns: dict[str, Any] = {name: name for name in HEADER} | {"carrier": Lookup("carrier", to="code")}
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=columns, using="default")
    table = Departure._meta.db_table

    def ours() -> None:
        for number, frame in enumerate(frames):
            answer = handler(1 + number * batch_size, frame, "job", {})
            if any(answer["error"]):
                raise AssertionError(answer["error"])

    def raw() -> None:
        names = "carrier_id, number, day, price, note"
        for data in clean:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"CREATE TEMP TABLE s ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")  # noqa: S608 - own names
                with cursor.copy(f"COPY s ({names}) FROM STDIN") as copy:
                    copy.write(data)
                cursor.execute(
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM s ON CONFLICT (carrier_id, number)"  # noqa: S608 - own names
                    " DO UPDATE SET day = EXCLUDED.day, price = EXCLUDED.price, note = EXCLUDED.note"
                )

    def seconds(work: Callable[[], None]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, work in (("raw COPY + INSERT ON CONFLICT", raw), ("bulk_upsert", ours)):
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {table}")
            for what in ("create", "update"):
                taken = seconds(work)
                if number:
                    times.setdefault(f"{name}, {what}", []).append(taken)
            if Departure._default_manager.count() != count:
                raise AssertionError(Departure._default_manager.count())
    figures = {}
    for name, taken_seconds in times.items():
        base = times[f"raw COPY + INSERT ON CONFLICT, {name.rpartition(' ')[2]}"]
        ratios = [own / other for own, other in zip(taken_seconds, base, strict=True)]
        middle = statistics.median(taken_seconds)
        figures[name] = {
            "seconds": middle,
            "rows_per_second": count / middle,
            "times_raw": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        }
    return figures


if __name__ == "__main__":
    main()

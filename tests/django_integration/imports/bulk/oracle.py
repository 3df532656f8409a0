"""What anyone writes first, one row after the other: the truth that bulk_upsert is compared with."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction

from tests.django_integration.myapp.models import Carrier, Departure

HEADER = ["Carrier", "Number", "Price", "Day", "Note", "State", "Tag"]
FIELDS = ("number", "price", "day", "note", "state", "tag")
EMPTY_IS_NONE = ("number", "price", "day", "tag")


class RefusedError(Exception):
    """The row is not to be."""


def save_rows(rows: list[list[str]], on_match: str, using: str) -> list[tuple[Any, bool] | None]:
    """Per row the key and whether it was created, or None for a refused row."""
    outcomes: list[tuple[Any, bool] | None] = []
    for row in rows:
        try:
            with transaction.atomic(using=using):
                outcomes.append(_save(row, on_match, using))
        except (RefusedError, ValidationError, DatabaseError, ValueError):
            outcomes.append(None)
    return outcomes


def _save(row: list[str], on_match: str, using: str) -> tuple[Any, bool]:
    code, *cells = row
    if any("\0" in cell for cell in row):
        raise RefusedError
    carrier = Carrier.objects.using(using).filter(code=code).first()
    if carrier is None:
        raise RefusedError
    values = {
        name: None if cell == "" and name in EMPTY_IS_NONE else cell for name, cell in zip(FIELDS, cells, strict=True)
    }
    tried = Departure(carrier=carrier, **values)
    tried.clean_fields()
    found = Departure.objects.using(using).filter(carrier=carrier, number=tried.number).first()
    if found is None:
        tried.save(using=using, force_insert=True)
        return tried.pk, True
    if on_match == "error":
        raise RefusedError
    if on_match == "update":
        for name in FIELDS:
            setattr(found, name, getattr(tried, name))
        found.save(using=using)
    return found.pk, False


def table(using: str) -> list[tuple[Any, ...]]:
    """What is in the table, but for what differs in every run."""
    records = Departure.objects.using(using).order_by("carrier__code", "number")
    return list(records.values_list("carrier__code", *FIELDS, "seats"))

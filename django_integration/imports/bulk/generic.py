"""Rows by `bulk_create`, on every database that can say which constraint a conflict is about (SQLite, MariaDB no)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import Q

from django_integration.imports.bulk.records import Records, Stored

#: Rows of one query for existing records; SQLite nests an OR no deeper than 1,000.
_ROWS_PER_QUERY = 300


def store_rows(records: Records, positions: Sequence[int], using: str) -> list[Stored]:
    """Write rows of different keys in their order; all or none, when called inside a savepoint.

    Raises:
        django.db.DatabaseError: the database refused some row.
    """
    plan = records.plan
    manager = plan.model._base_manager.using(using)
    found = _existing(records, positions, using)
    keys = records.keys(positions)
    if plan.on_match == "update" and plan.written:
        instances = manager.bulk_create(
            [records.instance(position) for position in positions],
            update_conflicts=True,
            unique_fields=[field.name for field in plan.match],
            update_fields=[field.name for field in plan.written],
        )
        # A conflict of a record that has its key by default keeps the key it had.
        return [(found.get(key, instance.pk), key not in found) for key, instance in zip(keys, instances, strict=True)]
    new = [(key, position) for key, position in zip(keys, positions, strict=True) if key not in found]
    instances = manager.bulk_create([records.instance(position) for _, position in new])
    created: dict[Any, models.Model] = {key: instance for (key, _), instance in zip(new, instances, strict=True)}
    return [(created[key].pk, True) if key in created else (found[key], False) for key in keys]


def _existing(records: Records, positions: Sequence[int], using: str) -> dict[tuple[Any, ...], Any]:
    """Primary keys of the records that are there, by match values."""
    plan = records.plan
    manager = plan.model._base_manager.using(using)
    names = [field.attname for field in plan.match]
    found: dict[tuple[Any, ...], Any] = {}
    for start in range(0, len(positions), _ROWS_PER_QUERY):
        part = positions[start : start + _ROWS_PER_QUERY]
        if len(names) == 1:
            wanted = Q(**{f"{names[0]}__in": records.column(plan.match[0], part)})
        else:
            wanted = Q()
            for position in part:
                wanted |= Q(**records.match_filter(position))
        for pk, *key in manager.filter(wanted).values_list("pk", *names):
            found[tuple(key)] = pk
    return found

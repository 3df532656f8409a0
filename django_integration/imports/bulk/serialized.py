"""Rows through a DRF serializer of the team's, which validates and saves them one by one.

A serializer's validators may ask the database (uniqueness) and its `create` and `update` may do anything, so only one
row after the other is exact. Foreign keys are still looked up once per batch.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, models, transaction
from rest_framework.serializers import BaseSerializer

from django_integration.imports.bulk.columns import AnyField, UpsertPlan
from django_integration.imports.bulk.outcome import Outcome, clipped, shown
from django_integration.imports.bulk.records import Records
from django_integration.imports.bulk.writing import raise_if_not_of_a_row


class _RefusedError(Exception):
    """Leaves the savepoint of a row; its message is the row's."""


def save_rows(
    serializer: type[BaseSerializer[Any]],
    records: Records,
    data: dict[AnyField, list[Any]],
    outcome: Outcome,
    using: str,
) -> None:
    """Validate and save every row that `outcome` does not refuse yet.

    Args:
        records: the values of the match fields.
        data: what the serializer is given, by field.
    """
    for position in outcome.open_positions():
        row = {field.name: column[position] for field, column in data.items()}
        try:
            with transaction.atomic(using=using):
                pk, created = _save(serializer, records, position, row, using)
        except _RefusedError as error:
            outcome.refuse(position, str(error))
        except Exception as error:  # noqa: BLE001 - the serializer is the team's code
            if isinstance(error, DatabaseError):
                raise_if_not_of_a_row(error)
                outcome.refuse(position, f"The database refused the row: {clipped(str(error))}")
            else:
                outcome.refuse(position, f"{type(error).__name__}: {error}")
        else:
            outcome.accept(position, pk, created=created)


def _save(
    serializer: type[BaseSerializer[Any]], records: Records, position: int, row: dict[str, Any], using: str
) -> tuple[Any, bool]:
    plan = records.plan
    found: models.Model | None = plan.model._base_manager.using(using).filter(**records.match_filter(position)).first()
    bound = serializer(instance=found, data=row)
    if not bound.is_valid():
        raise _RefusedError(" ".join(_messages(plan, bound.errors)))
    if found is None:
        return bound.save().pk, True
    if plan.on_match == "error":
        raise _RefusedError(records.already_there(position))
    if plan.on_match == "update":
        bound.save()
    return found.pk, False


def _messages(plan: UpsertPlan, errors: Any) -> list[str]:
    """A line per field, by the name of its column."""
    if not isinstance(errors, dict):
        return [shown(errors)]
    columns = {each.field.name: each.column for each in plan.mapped}
    return [
        f"{columns.get(name, name)}: {' '.join(map(str, each)) if isinstance(each, list) else each}"
        for name, each in errors.items()
    ]

"""The cleaned rows of a batch, by field, and what the fields without a column get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models

from django_integration.imports.bulk.columns import AnyField, UpsertPlan
from django_integration.imports.bulk.outcome import shown

Stored = tuple[Any, bool]
"""Primary key of the record, and whether it was created rather than found."""


class Records:
    """Values of a batch: a column of values per mapped field, addressed by the row's position."""

    def __init__(self, plan: UpsertPlan, values: dict[AnyField, list[Any]], texts: dict[AnyField, list[str]]) -> None:
        """
        Args:
            values: the cleaned values of every mapped field.
            texts: the cells that the values of the match fields come from.
        """
        self.plan = plan
        self.values = values
        self.texts = texts

    def keys(self, positions: Sequence[int]) -> list[tuple[Any, ...]]:
        """The values of the match fields in the rows of these positions."""
        return list(zip(*(self.column(field, positions) for field in self.plan.match), strict=True))

    def instance(self, position: int) -> models.Model:
        """An unsaved instance of the model with a row's values, and defaults elsewhere."""
        return self.plan.model(**{field.attname: column[position] for field, column in self.values.items()})

    def match_filter(self, position: int) -> dict[str, Any]:
        """Keywords of `filter` that find the record a row means."""
        return {field.attname: self.values[field][position] for field in self.plan.match}

    def already_there(self, position: int) -> str:
        """The message for a row whose record is there when that is an error."""
        columns = {each.field: each.column for each in self.plan.mapped}
        key = ", ".join(f"{columns[field]} {shown(self.texts[field][position])}" for field in self.plan.match)
        return f"There is a {self.plan.model._meta.verbose_name} with {key} already."

    def column(self, field: AnyField, positions: Sequence[int]) -> list[Any]:
        """The values of one field in the rows of these positions."""
        values = self.values[field]
        return [values[position] for position in positions]


class UncertainOutcomeError(Exception):
    """A statement came back with another number of records than it was given rows (triggers, other writers)."""

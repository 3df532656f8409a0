"""Cells → the texts that COPY takes for them, a column at a time and without a Python object for a plain cell.

A cell is plain where the database reads from its text the very value that the field's own cleaning gives. The others,
and the columns whose fields have rules of their own, are cleaned as everywhere else; their values are written as text.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from django.db import models

from django_integration.imports.bulk import postgres
from django_integration.imports.bulk.cleaning import (
    MAX_DIGITS,
    Refusal,
    clean_column,
    decimal_digits,
    integer_range,
    text_limit,
)
from django_integration.imports.bulk.columns import AnyField, MappedField, UpsertPlan
from django_integration.imports.bulk.lookups import look_up
from django_integration.imports.bulk.outcome import Outcome

#: What a text of COPY may not hold as it is → how it is written there.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TEXT_FIELDS = (models.CharField, models.TextField)
_KEY_FIELDS = (models.CharField, models.TextField, models.DateField)


def takes(plan: UpsertPlan) -> bool:
    """Whether `text_frame` knows how the values of every mapped field are written."""
    return all(postgres.is_native(each.field) for each in plan.mapped)


def text_frame(plan: UpsertPlan, batch: pl.DataFrame, outcome: Outcome, using: str) -> pl.DataFrame | None:
    """The rows that nothing speaks against, as the texts of COPY; refused ones are noted in `outcome`.

    Returns:
        A column `position` and one for each field that a new record is given, named as in the database; null is NULL.
        None when rows have the same key, or a default cannot be written as text.
    """
    columns: dict[str, pl.Series] = {}
    as_they_are: set[str] = set()  # columns of digits and signs, which COPY reads as they are
    for mapped in plan.mapped:
        cells = batch.get_column(mapped.column).fill_null("")
        texts = (
            _clean(mapped, cells, outcome) if mapped.lookup_to is None else _looked_up(mapped, cells, outcome, using)
        )
        if texts is cells and not isinstance(mapped.field, _TEXT_FIELDS):
            as_they_are.add(_column(mapped.field))
        if mapped.field in plan.match:
            for position in texts.is_null().arg_true().to_list():
                outcome.refuse(position, f"{mapped.column}: This field says which record is meant and cannot be empty.")
        columns[_column(mapped.field)] = texts
    positions = outcome.open_positions()
    frame = pl.DataFrame({"position": pl.int_range(batch.height, eager=True), **columns})
    if len(positions) < batch.height:
        frame = frame[positions]
    if not _keys_differ(plan, frame):
        return None
    mapped_fields = {each.field for each in plan.mapped}
    for field in postgres.inserted_fields(plan):
        if field not in mapped_fields:
            values = [_text(value) for value in postgres.default_values(plan, field, frame.height, using)]
            if _UNKNOWN in values:
                return None
            frame = frame.with_columns(pl.Series(_column(field), values, dtype=pl.String))
    others = (column for column in frame.iter_columns() if column.name not in as_they_are)
    return frame.with_columns(_escaped(column) for column in others if column.dtype == pl.String)


def _clean(mapped: MappedField, cells: pl.Series, outcome: Outcome) -> pl.Series:
    """The texts of a column's values; refused rows are noted, and have any text."""
    is_plain = None if mapped.parse is not None else _plainness(mapped.field)
    if is_plain is None:
        others = list(range(len(cells)))
    else:
        # Dates come again and again, and are dear to read.
        each = cells.unique() if isinstance(mapped.field, models.DateField) else cells
        mask = each.to_frame("cell").select(is_plain(pl.col("cell"))).to_series()
        if mask.all():
            return cells
        if len(each) < len(cells):
            mask = ~cells.is_in(each.filter(~mask))
        others = (~mask).arg_true().to_list()
    part = Outcome(len(others))
    values = clean_column(mapped, cells.gather(others).to_list(), part)
    for position, error in zip(others, part.errors, strict=True):
        if error is not None:
            outcome.refuse(position, error)
    return _put(cells, others, values)


def _looked_up(mapped: MappedField, cells: pl.Series, outcome: Outcome, using: str) -> pl.Series:
    """The texts of a foreign key's values; rows that name no record, or several, are noted."""
    names = cells.unique().to_list()
    part = Outcome(len(names))
    values = look_up(mapped, names, part, using)
    refused = {name: error for name, error in zip(names, part.errors, strict=True) if error is not None}
    if refused:
        for position in cells.is_in(list(refused)).arg_true().to_list():
            outcome.refuse(position, refused[cells[position]])
    texts = [_text(value) for value in values]
    return cells.replace_strict(names, texts, return_dtype=pl.String)


def _put(cells: pl.Series, positions: Sequence[int], values: Sequence[Any]) -> pl.Series:
    texts = [_text(value) for value in values]
    if len(texts) == len(cells):
        return pl.Series(texts, dtype=pl.String)
    return cells.scatter(positions, pl.Series(texts, dtype=pl.String))


def _plainness(field: AnyField) -> Callable[[pl.Expr], pl.Expr] | None:
    """Says of cells whether they are plain; None where the field has to be asked about each."""
    if (numbers := integer_range(field)) is not None:
        low, high = numbers
        return lambda cell: (
            cell.str.contains(rf"^[0-9]{{1,{MAX_DIGITS}}}$")
            & cell.cast(pl.Int64, strict=False).is_between(low, high).fill_null(False)
        )
    if (digits := decimal_digits(field)) is not None:
        whole_digits, places = digits
        return lambda cell: cell.str.contains(rf"^[0-9]{{1,{whole_digits}}}\.[0-9]{{1,{places}}}$")
    if (longest := text_limit(field)) is not None:
        least = 0 if field.blank and not field.null else 1
        return lambda cell: cell.str.len_chars().is_between(least, longest) & ~cell.str.contains("\0", literal=True)
    if type(field) is models.DateField and not field.choices and not field.validators:
        return lambda cell: (
            cell.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
            & (cell.str.to_date("%Y-%m-%d", strict=False) >= datetime.date.min).fill_null(False)
        )
    return None


def _keys_differ(plan: UpsertPlan, frame: pl.DataFrame) -> bool:
    """Whether no two rows mean the same record; False where that cannot be told from the texts."""
    keys = []
    for field in plan.match:
        target = field.target_field if field.is_relation else field  # type: ignore[attr-defined]
        if isinstance(target, models.IntegerField):  # and its kin, the automatic keys among them
            keys.append(pl.col(_column(field)).cast(pl.Int64))  # "07" is 7
        elif isinstance(target, _KEY_FIELDS) and not isinstance(target, models.DateTimeField):
            keys.append(pl.col(_column(field)))
        else:
            return False
    return frame.height < 2 or frame.select(keys).n_unique() == frame.height


def _column(field: AnyField) -> str:
    assert field.column is not None, "a concrete field has a column"
    return field.column


#: Stands for a value of which this room does not know how it is written.
_UNKNOWN = "\0"


def _text(value: Any) -> str | None:
    """A value as PostgreSQL reads it; any text for a refusal."""
    if value is None or value.__class__ is str:
        return value
    if value.__class__ is Refusal:
        return ""
    if isinstance(value, bool | int | float | Decimal | uuid.UUID | str):
        return str(value)
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
        return value.isoformat()
    return _UNKNOWN


def _escaped(texts: pl.Series) -> pl.Series:
    if texts.str.contains_any(list(_ESCAPES)).any():
        for character, written in _ESCAPES.items():
            texts = texts.str.replace_all(character, written, literal=True)
    return texts

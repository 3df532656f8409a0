"""Which column of the file goes into which field of the model, checked before any row is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models

OnMatch = Literal["update", "skip", "error"]

AnyField: TypeAlias = "models.Field[Any, Any]"
AnyModel = type[models.Model]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file whose text is turned into something else before the field cleans it."""

    name: str
    """As the file's header has it."""
    parse: Callable[[str], Any]
    """Called with a cell that is not empty; a ValueError or ValidationError refuses the row. Must depend on the
    text alone: it is called once per distinct text of a batch."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column of the file that names the record of a foreign key."""

    name: str
    """As the file's header has it."""
    to: str
    """The field of the other model that the cells are compared with, such as "code"."""
    among: Callable[[Mapping[str, Any]], models.Q] | None = None
    """Called with the job's options: which of the other model's records may be named, such as those of a tenant."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value that is the same for all rows and comes with the job, as `get_import_options` of the view says."""

    name: str
    """The name of the option."""


#: Where the values of a field come from; a text is the name of a column.
Source: TypeAlias = "str | Column | Lookup | Option"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedField:
    """A field of the model and where its values come from."""

    field: AnyField
    column: str
    """Name of the file's column."""
    parse: Callable[[str], Any] | None
    lookup_to: AnyField | None
    """For foreign keys: the field of the other model that is compared."""
    among: Callable[[Mapping[str, Any]], models.Q] | None = None
    """As in `Lookup`."""
    limit: models.Q | None = None
    """What `among` has said for the job at hand."""
    option: str | None = None
    """The option in place of a column of the file; `column` is then what messages call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertPlan:
    """What `bulk_upsert` was told, checked against the model."""

    model: AnyModel
    on_match: OnMatch
    mapped: tuple[MappedField, ...]
    match: tuple[AnyField, ...]
    """The fields that say which record a row means; a unique constraint covers exactly these."""
    written: tuple[AnyField, ...]
    """The fields that a match gets written: mapped ones outside `match`, and those with `auto_now`."""
    looks_up_itself: bool
    """A foreign key of the model points to the model, so that a row may need the row before it."""

    def of_job(self, options: Mapping[str, Any]) -> UpsertPlan:
        """The plan with what the options of a job say about its lookups."""
        if all(each.among is None for each in self.mapped):
            return self
        return replace(self, mapped=tuple(_limited(each, options) for each in self.mapped))


def check_columns(model: AnyModel, match: Sequence[str], columns: Mapping[str, Source], on_match: str) -> UpsertPlan:
    """The plan of an upsert.

    Raises:
        ImproperlyConfigured: what was asked for cannot work with this model; the message says what to change.
    """
    if on_match not in get_args(OnMatch):
        raise _wrong(model, f"on_match is {on_match!r}; it is one of {', '.join(map(repr, get_args(OnMatch)))}.")
    if isinstance(match, str):
        raise _wrong(model, f"match is the text {match!r}; write match=({match!r},).")
    if model._meta.abstract or model._meta.swapped:
        raise _wrong(model, "the model is abstract or swapped out; it has no table to write to.")
    if any(parent._meta.concrete_model is not model._meta.concrete_model for parent in model._meta.all_parents):
        raise _wrong(model, "the model inherits from another table; rows of two tables need a row handler.")
    mapped = tuple(_mapped(model, name, source) for name, source in columns.items())
    fields = {each.field for each in mapped}
    keys = tuple(_field(model, name) for name in match)
    for key in keys:
        if key not in fields:
            raise _wrong(model, f"match names {key.name!r}, but columns has no file column for it.")
    if not keys or not _is_unique(model, {key.name for key in keys}):
        names = ", ".join(repr(key.name) for key in keys)
        raise _wrong(
            model,
            f"no unique constraint covers exactly the match fields ({names}), so two workers could both create the "
            f"same record. Add models.UniqueConstraint(fields=[{names}], name=…) to Meta.constraints, or unique=True.",
        )
    if model._meta.pk in fields and model._meta.pk not in keys:
        raise _wrong(model, f"columns has the primary key {model._meta.pk.name!r}, match has not; keys do not change.")
    stamped = [each for each in model._meta.concrete_fields if getattr(each, "auto_now", False)]
    return UpsertPlan(
        model=model,
        on_match=on_match,  # type: ignore[arg-type]
        mapped=mapped,
        match=keys,
        written=tuple(dict.fromkeys([*(each.field for each in mapped if each.field not in keys), *stamped])),
        looks_up_itself=any(
            each.lookup_to is not None and each.lookup_to.model._meta.concrete_model is model._meta.concrete_model
            for each in mapped
        ),
    )


def _limited(mapped: MappedField, options: Mapping[str, Any]) -> MappedField:
    if mapped.among is None:
        return mapped
    limit = mapped.among(options)
    if not isinstance(limit, models.Q):  # None would let records of everybody be named
        raise ImproperlyConfigured(f"among of {mapped.column!r} must give a Q, not {limit!r}.")
    return replace(mapped, limit=limit)


def _mapped(model: AnyModel, name: str, source: Source) -> MappedField:
    field = _field(model, name)
    if isinstance(source, Option):
        # A name that no header has by chance.
        mapped = _mapped(model, name, f"options[{source.name!r}]")
        return replace(mapped, option=source.name)
    if field.is_relation:
        other = field.remote_field.model  # type: ignore[union-attr]
        to = source.to if isinstance(source, Lookup) else field.target_field.name  # type: ignore[attr-defined]
        if isinstance(source, Column):
            raise _wrong(model, f"{name!r} is a foreign key: give the column's name or Lookup(column, to=field).")
        column = source if isinstance(source, str) else source.name
        among = source.among if isinstance(source, Lookup) else None
        return MappedField(field=field, column=column, parse=None, lookup_to=_field(other, to), among=among)
    if isinstance(source, Lookup):
        raise _wrong(model, f"{name!r} is no foreign key, so Lookup({source.name!r}) has nothing to look up.")
    if isinstance(source, Column):
        return MappedField(field=field, column=source.name, parse=source.parse, lookup_to=None)
    return MappedField(field=field, column=source, parse=None, lookup_to=None)


def _field(model: AnyModel, name: str) -> AnyField:
    try:
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist as error:
        known = ", ".join(each.name for each in model._meta.concrete_fields)
        raise _wrong(model, f"there is no field {name!r}; the fields are {known}.") from error
    if not isinstance(field, models.Field) or not field.concrete or field.many_to_many:
        raise _wrong(model, f"{name!r} is no column of the model's own table.")
    if getattr(field, "generated", False):
        raise _wrong(model, f"{name!r} is generated by the database and cannot be written.")
    return field


def _is_unique(model: AnyModel, names: set[str]) -> bool:
    if len(names) == 1:
        (name,) = names
        if model._meta.get_field(name).unique:  # type: ignore[union-attr]
            return True
    together = [set(each) for each in model._meta.unique_together]
    constraints = [
        set(each.fields)
        for each in model._meta.constraints
        if isinstance(each, models.UniqueConstraint)
        and each.fields
        and each.condition is None
        and each.deferrable is None
    ]
    return names in [*together, *constraints]


def _wrong(model: AnyModel, what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"bulk_upsert({model._meta.label}): {what}")

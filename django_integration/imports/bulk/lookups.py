"""Cells that name records of another model → their keys, with one query per batch and foreign key."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from django_integration.imports.bulk.cleaning import Refusal
from django_integration.imports.bulk.columns import MappedField
from django_integration.imports.bulk.outcome import Outcome, shown

#: Keys of one query; SQLite takes no more than some 1,000 parameters everywhere.
_KEYS_PER_QUERY = 900


def look_up(mapped: MappedField, texts: list[str], outcome: Outcome, using: str) -> list[Any]:
    """The values of a foreign key's column in order; rows that name no record, or several, are noted in `outcome`.

    `limit_choices_to` of the foreign key holds here, as it does when Django validates it.
    """
    field, to = mapped.field, mapped.lookup_to
    assert to is not None
    found: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for text in set(texts):
        if text == "":
            found[text] = None if field.null and field.blank else Refusal("This field cannot be empty.")
            continue
        try:
            if "\0" in text:
                raise ValidationError("The text holds a NUL character, which databases do not store.")
            keys[text] = to.to_python(text)
        except ValidationError as error:
            found[text] = Refusal(" ".join(error.messages))
        except Exception as error:  # noqa: BLE001 - a field of the team's
            found[text] = Refusal(f"{type(error).__name__}: {error}")
    records = _records(mapped, list(dict.fromkeys(keys.values())), using)
    name = to.model._meta.verbose_name
    for text, key in keys.items():
        values = records.get(key, ())
        if len(values) == 1:
            (found[text],) = values
        else:
            count = "no" if not values else "more than one"
            found[text] = Refusal(f"There is {count} {name} with {to.name} {shown(text)}.")
    cleaned = [found[text] for text in texts]
    for position, value in enumerate(cleaned):
        if value.__class__ is Refusal:
            outcome.refuse(position, f"{mapped.column}: {value.message}")
    return cleaned


def _records(mapped: MappedField, keys: list[Any], using: str) -> dict[Any, set[Any]]:
    """Per key the values that the foreign key would hold."""
    field, to = mapped.field, mapped.lookup_to
    assert to is not None
    target: str = field.target_field.attname  # type: ignore[attr-defined]
    manager = to.model._base_manager.using(using)
    limit = field.get_limit_choices_to()  # type: ignore[attr-defined]
    records: dict[Any, set[Any]] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        part = keys[start : start + _KEYS_PER_QUERY]
        query = manager.filter(**{f"{to.attname}__in": part}).complex_filter(limit)
        if mapped.limit is not None:
            query = query.filter(mapped.limit)
        for key, value in query.values_list(to.attname, target):
            # A condition over a relation finds one record several times.
            records.setdefault(key, set()).add(value)
    return records

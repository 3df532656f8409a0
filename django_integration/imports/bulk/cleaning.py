"""Text of a column → values of a model field, by the field's own rules.

Each distinct text of a batch is cleaned once. Where a shorter way gives provably the same value it is taken:
plain ASCII digits for the integer fields, with a point between them for decimals, and texts for the text fields
whose only rule is a length.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator, MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.forms.utils import from_current_timezone

from django_integration.imports.bulk.columns import AnyField, MappedField
from django_integration.imports.bulk.outcome import Outcome

_INTEGERS = (
    models.IntegerField,
    models.BigIntegerField,
    models.SmallIntegerField,
    models.PositiveIntegerField,
    models.PositiveBigIntegerField,
    models.PositiveSmallIntegerField,
)
_TEXTS = (models.CharField, models.TextField)

#: More digits than any of the integer fields takes.
MAX_DIGITS = 18


class Refusal:
    """Stands in the place of a value for a text that the field refuses."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message


def clean_column(mapped: MappedField, texts: list[str], outcome: Outcome) -> list[Any]:
    """The values of a column in order; rows whose text is refused are noted in `outcome`."""
    quick = _quick_way(mapped)
    values: dict[str, Any] = {}
    refused = False
    for text in set(texts):
        value = quick(text) if quick is not None else None
        if value is None:
            value = clean_text(mapped.field, mapped.parse, text)
            refused = refused or value.__class__ is Refusal
        values[text] = value
    cleaned = [values[text] for text in texts]
    if refused:
        for position, value in enumerate(cleaned):
            if value.__class__ is Refusal:
                outcome.refuse(position, f"{mapped.column}: {value.message}")
    return cleaned


def parse_column(mapped: MappedField, texts: list[str], outcome: Outcome) -> list[Any]:
    """The cells of a column as a serializer is given them: parsed, and None where an empty one is no text."""
    values: list[Any] = []
    empty = "" if isinstance(mapped.field, _TEXTS) and not mapped.field.null else None
    for position, text in enumerate(texts):
        value: Any = empty if text == "" else text
        if mapped.parse is not None and text != "":
            try:
                value = mapped.parse(text)
            except ValidationError as error:
                outcome.refuse(position, f"{mapped.column}: {' '.join(error.messages)}")
            except Exception as error:  # noqa: BLE001 - a function of the team's
                outcome.refuse(position, f"{mapped.column}: {type(error).__name__}: {error}")
        values.append(value)
    return values


def clean_text(field: AnyField, parse: Callable[[str], Any] | None, text: str) -> Any:
    """The value of one cell, or a Refusal.

    An empty cell is None where the field may be null, and else the empty text for text fields; never the default,
    which is for fields without a column.
    """
    if "\0" in text:
        return Refusal("The text holds a NUL character, which databases do not store.")
    value: Any
    try:
        if text == "":
            value = None if field.null or not isinstance(field, _TEXTS) else ""
        else:
            value = text if parse is None else parse(text)
        if value is None and field.null and field.blank:
            return None  # as Model.full_clean does: no validator sees an empty value of a blank field
        if value == "" and field.blank:
            return value
        value = field.clean(value, None)
        if isinstance(field, models.DateTimeField) and settings.USE_TZ and value is not None and value.tzinfo is None:
            value = from_current_timezone(value)
    except ValidationError as error:
        return Refusal(" ".join(error.messages))
    except Exception as error:  # noqa: BLE001 - a field, validator or parse function of the team's
        return Refusal(f"{type(error).__name__}: {error}")
    return value


def integer_range(field: AnyField) -> tuple[int, int] | None:
    """The least and the largest number that an integer field takes; None for a field with rules of its own."""
    if type(field) not in _INTEGERS or field.choices:
        return None
    low, high = -(10**MAX_DIGITS), 10**MAX_DIGITS
    for validator in field.validators:
        limit = getattr(validator, "limit_value", None)
        if type(limit) is not int:
            return None
        if type(validator) is MinValueValidator:
            low = max(low, limit)
        elif type(validator) is MaxValueValidator:
            high = min(high, limit)
        else:
            return None
    return low, high


def decimal_digits(field: AnyField) -> tuple[int, int] | None:
    """The digits before and behind the point that a decimal field takes; None for a field with rules of its own."""
    if type(field) is not models.DecimalField or field.choices or len(field.validators) != 1:
        return None
    if field.max_digits is None or not field.decimal_places or type(field.validators[0]) is not DecimalValidator:
        return None
    return field.max_digits - field.decimal_places, field.decimal_places


def text_limit(field: AnyField) -> int | None:
    """The most characters that a text field takes; None for a field with rules of its own."""
    if type(field) not in _TEXTS or field.choices:
        return None
    longest = 2**31
    for validator in field.validators:
        limit = getattr(validator, "limit_value", None)
        if type(validator) is not MaxLengthValidator or type(limit) is not int:
            return None
        longest = min(longest, limit)
    return longest


def _quick_way(mapped: MappedField) -> Callable[[str], Any] | None:
    """A function that gives the value of a plain text, or None where the field has to be asked."""
    if mapped.parse is not None:
        return None
    if (numbers := integer_range(mapped.field)) is not None:
        return partial(_quick_integer, *numbers)
    if (digits := decimal_digits(mapped.field)) is not None:
        return partial(_quick_decimal, *digits)
    if (longest := text_limit(mapped.field)) is not None:
        return partial(_quick_text, longest)
    return None


def _quick_integer(low: int, high: int, text: str) -> int | None:
    if len(text) <= MAX_DIGITS and text.isascii() and text.isdigit():
        number = int(text)
        if low <= number <= high:
            return number
    return None


def _quick_decimal(whole_digits: int, places: int, text: str) -> Decimal | None:
    whole, _, fraction = text.partition(".")
    if (
        0 < len(whole) <= whole_digits
        and 0 < len(fraction) <= places
        and text.isascii()
        and whole.isdigit()
        and fraction.isdigit()
    ):
        return Decimal(text)
    return None


def _quick_text(longest: int, text: str) -> str | None:
    return text if 0 < len(text) <= longest and "\0" not in text else None

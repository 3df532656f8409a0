"""What Django's and REST framework's own errors come to in the failed file."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError as ModelError
from django.forms import CharField, Form
from rest_framework import serializers

from engine.handlers.row_adapter import RowAdapter


class PersonSerializer(serializers.Serializer):  # type: ignore[type-arg]
    email = serializers.EmailField()
    age = serializers.IntegerField(max_value=3)


class PersonForm(Form):
    name = CharField(max_length=2)


def _errors_of_serializer() -> object:
    serializer = PersonSerializer(data={"email": "x", "age": 9})
    serializer.is_valid()
    return serializer.errors


EMAIL = "email: Enter a valid email address."
BOTH = f"{EMAIL}; age: Ensure this value is less than or equal to 3."


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (_errors_of_serializer, BOTH),
        (lambda: PersonForm({"name": "Ana"}).errors, "name: Ensure this value has at most 2 characters (it has 3)."),
    ],
    ids=["serializer", "form"],
)
def test_errors_that_a_handler_returns_are_a_line_to_read(returned: object, message: str) -> None:
    adapter = RowAdapter(lambda *_: {"ok": False, "error": returned()}, "job", {})  # type: ignore[operator]
    assert adapter.run(1, [["x"]])[0].message == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (serializers.ValidationError({"email": ["Enter a valid email address."]}), EMAIL),
        (serializers.ValidationError("Taken."), "Taken."),
        (ModelError({"email": ["Enter a valid email address."]}), EMAIL),
        (ModelError("Taken."), "Taken."),
        (ModelError([ModelError("Taken."), ModelError("Old.")]), "Taken. Old."),
    ],
    ids=["fields of a serializer", "a serializer", "fields of a model", "a model", "two of a model"],
)
def test_errors_that_a_handler_raises_are_a_line_to_read(error: Exception, message: str) -> None:
    def handler(*_: object) -> dict[str, object]:
        raise error

    assert RowAdapter(handler, "job", {}).run(1, [["x"]])[0].message == f"ValidationError: {message}"

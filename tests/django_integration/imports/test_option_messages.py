"""The engine's messages about options can be said in any language."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest
from django.utils import translation

from django_integration.imports import option_messages, refusals, services
from engine import options
from engine.errors import OptionError


def templates_of_the_engine() -> list[str]:
    """The second argument of every `_refusal(…)`, in place or as the variable `template` before it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(inspect.getsource(options))):
        text: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_refusal":
            text = node.args[1]
        elif (
            isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "template"
        ):
            text = node.value
        if isinstance(text, ast.Constant):
            found.append(text.value)
    return found


def test_every_template_can_be_found_by_makemessages() -> None:
    templates = templates_of_the_engine()
    assert len(templates) == inspect.getsource(options).count("_refusal(") - 1
    assert set(templates) == set(option_messages.TEMPLATES)


@pytest.mark.parametrize(
    ("given", "english", "other"),
    [
        (
            {"batch_size": 0},
            "batch_size must be from 1 to 100,000, not 0.",
            "batch_size muss zwischen 1 und 100,000 liegen, nicht bei 0.",
        ),
        ({"batch_size": 10**20}, "not such a long number.", "nicht bei such a long number."),
    ],
)
def test_a_refused_option_is_told_in_the_active_language(given: Any, english: str, other: str) -> None:
    with pytest.raises(refusals.RequestRefusedError) as refused:
        services.checked_options(given)
    assert refused.value.message.endswith(english)
    with translation.override("de"), pytest.raises(refusals.RequestRefusedError) as refused:
        services.checked_options(given)
    assert refused.value.message.endswith(other)


def test_an_error_without_a_template_keeps_its_message() -> None:
    assert option_messages.told(OptionError("As it is.")) == "As it is."

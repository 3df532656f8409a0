"""One flag of the command line: its phrase, unit, default and environment variable."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag that takes a value."""

    name: str
    """As typed, `--batch-size`; the attribute is `batch_size`."""
    value: str
    """What stands for its value in the help."""
    phrase: str
    default: str
    unit: str | None = None
    environment: str | None = None
    """Variable that is read where the flag is not given."""
    is_number: bool = False
    is_boolean: bool = False
    is_repeatable: bool = False

    @property
    def attribute(self) -> str:
        """Its name in Python, and in the import options where it is one of them."""
        return self.name.removeprefix("--").replace("-", "_")

    def help(self) -> str:
        """The phrase with unit, default and environment variable."""
        facts = [
            *([f"unit: {self.unit}"] if self.unit else []),
            f"default: {self.default}",
            *([f"environment: {self.environment}"] if self.environment else []),
        ]
        return f"{self.phrase} ({'; '.join(facts)})".replace("%", "%%")

    def add_to(self, parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
        """Declare it; without the flag its attribute is None, or [] where it can be repeated."""
        settings: dict[str, Any] = {"action": "append", "default": []} if self.is_repeatable else {}
        parser.add_argument(self.name, metavar=self.value, help=self.help(), **settings)

    def value_in(self, arguments: argparse.Namespace) -> Any:
        """What was given by flag, or else by environment; None where neither is."""
        text = getattr(arguments, self.attribute)
        if text is None and self.environment:
            text = os.environ.get(self.environment) or None
        if self.is_boolean:
            return {"true": True, "false": False}.get(text, text)
        return _number(text) if self.is_number and text is not None else text


def _number(text: str) -> float | str:
    """A number; anything else stays as it is, for the option's own check to name."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text

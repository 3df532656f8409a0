"""What a command line asks for, as the engine takes it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.cli.flag import Flag
from engine.cli.flags import WORKERS
from engine.errors import OptionError


def import_options(arguments: argparse.Namespace, flags: Sequence[Flag]) -> dict[str, Any]:
    """The options of the command line as `ImportOptions.from_mapping` takes them; it also checks them.

    Raises:
        OptionError: an option is not of the form KEY=VALUE, or is given twice.
    """
    options: dict[str, Any] = {}
    for text in arguments.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionError(f"--option must be of the form KEY=VALUE, not {text!r}.", option="option")
        if name in options:
            raise OptionError(f"The option {name} is given twice. Give it once.", option=name)
        options[name] = _json_or_text(value)
    for flag in flags:
        if getattr(arguments, flag.attribute) is not None and flag.attribute in options:
            raise OptionError(
                f"{flag.attribute} is given by {flag.name} and by --option. Give it once.", option=flag.attribute
            )
        value = flag.value_in(arguments)
        if value is not None:
            options.setdefault(flag.attribute, value)
    if getattr(arguments, "no_count_first", False):
        if options.get("count_total_first", False) is True:
            raise OptionError("--no-count-first and count_total_first=true contradict.", option="count_total_first")
        options["count_total_first"] = False
    return options


def workers_in(arguments: argparse.Namespace) -> int | None:
    """How many processes were asked for. Raises OptionError where that is no number."""
    workers = WORKERS.value_in(arguments)
    if workers is not None and not isinstance(workers, int):
        raise OptionError(f"workers must be a whole number, not {workers!r}.", option="workers")
    return workers


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return text


def _not_json(name: str) -> NoReturn:
    """NaN and Infinity, which Python's parser lets pass, are no JSON and so are texts."""
    raise ValueError(name)

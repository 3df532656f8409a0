"""Whether a worker takes messages at all: a probe is sent as an import's messages are, and its answer waited for."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from django.db import DatabaseError, connections

from django_integration.conf import import_settings, redis_url
from django_integration.files.storage import engine_config
from django_integration.imports import bridge
from engine.errors import ServiceUnavailableError
from engine.progress import RedisProgress

#: Seconds between two looks for the answer.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What came of a probe."""

    is_well: bool
    reason: str = ""
    """What is wrong, for people; empty where nothing is."""
    seconds: float | None = None
    """From the sending of the probe to its answer."""


def check(timeout_seconds: float) -> Health:
    """Ask the database, Redis, the broker and a worker, in this order.

    Args:
        timeout_seconds: how long a worker gets. One whose processes are all in the middle of chunks answers
            after the first of them.
    """
    try:
        with connections[import_settings().database].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Health(is_well=False, reason=f"The database does not answer: {type(error).__name__}.")
    answers, name, began = _answers(), secrets.token_hex(8), time.monotonic()
    try:
        answers.ping()
        bridge.send_probe(name)
        while time.monotonic() < began + timeout_seconds:
            if answers.take_answer(name):
                return Health(is_well=True, seconds=round(time.monotonic() - began, 3))
            time.sleep(_LOOK_SECONDS)
    except ServiceUnavailableError as error:
        return Health(is_well=False, reason=f"{error.facts.get('service', 'a service').capitalize()} does not answer.")
    finally:
        answers.close()
    queues = ", ".join(bridge.queues())
    return Health(
        is_well=False,
        reason=f"No worker answered within {timeout_seconds:g} seconds. Imports wait in {queues}: a worker of this "
        f"project has to listen there (celery -A … worker -Q {queues.replace(' ', '')}), or all of them are busy.",
    )


def answer(name: str) -> None:
    """What the worker does."""
    answers = _answers()
    try:
        answers.answer(name)
    finally:
        answers.close()


def _answers() -> RedisProgress:
    return RedisProgress.from_url(redis_url(), engine_config())

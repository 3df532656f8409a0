"""Points in time: the engine's are aware, the project's own are naive and local where it says `USE_TZ = False`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from django.conf import settings
from django.utils import timezone


def kept(moment: datetime) -> datetime:
    """An aware point in time in the form in which the project's models hold it."""
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


@overload
def exact(moment: datetime) -> datetime: ...
@overload
def exact(moment: None) -> None: ...
def exact(moment: datetime | None) -> datetime | None:
    """A point in time that a model holds, aware, in UTC."""
    if moment is not None and timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment if moment is None else moment.astimezone(UTC)

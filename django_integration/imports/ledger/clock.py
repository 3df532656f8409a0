"""The time of the ledger: that of its database, so that all machines agree on how long somebody has been silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import connections
from django.utils import timezone

from django_integration.imports.moments import kept

#: Seconds until the database is asked again: two machines' clocks run apart by some milliseconds meanwhile.
ASKED_EVERY_SECONDS = 60.0
#: By vendor: the present, and not the beginning of the transaction.
_QUERIES = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    # In UTC: a local time comes twice in autumn.
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}


class DatabaseClock:
    """Tells the time by the database server's clock, whatever this machine's says, and however that is set meanwhile.

    A lease is 20 seconds, and two machines may well differ by more: the one whose clock is ahead would take every
    chunk from the others whose row no lock protects. SQLite is on the machine of all who use it: its clock will do.
    """

    def __init__(self, using: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            using: the database alias.
        """
        self._using = using
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None  # what time it was then, and when that was

    def __call__(self) -> datetime:
        """The present, as it is `kept`. Raises what Django does where the database is asked and does not answer."""
        connection = connections[self._using]
        query = _QUERIES.get(connection.vendor)
        if query is None:
            return timezone.now()
        known = self._known
        # Not within a transaction, which an error would end.
        is_old = known is not None and self._monotonic() - known[1] > ASKED_EVERY_SECONDS
        if known is None or (is_old and not connection.in_atomic_block):
            with connection.cursor() as cursor:
                cursor.execute(query)
                (seconds,) = cursor.fetchone()
            known = self._known = (datetime.fromtimestamp(float(seconds), UTC), self._monotonic())
        then, at = known
        return kept(then + timedelta(seconds=self._monotonic() - at))

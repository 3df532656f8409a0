"""A connection beside Django's own, for what must not wait for a chunk's transaction, or die with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections


class SideConnection:
    """Commits every statement by itself. Each thread has one of its own, from its first cursor on."""

    def __init__(self, using: str) -> None:
        """
        Args:
            using: the database alias.
        """
        self._using = using
        self._threads_own = threading.local()

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A cursor. Raises what Django does; a connection of which an error came is made anew the next time.

        Django looks after its own connections between two tasks, and not after this one: without that, one that a
        restarted server had closed would fail for as long as the process lives.
        """
        connection = getattr(self._threads_own, "connection", None)
        try:
            if connection is None:
                connection = self._threads_own.connection = connections[self._using].copy()
                connection.set_autocommit(True)
            with connection.cursor() as cursor:
                yield cursor
        except DatabaseError:
            self.close()
            raise

    def close(self) -> None:
        """Close the one of this thread; a later cursor makes a new one."""
        connection = getattr(self._threads_own, "connection", None)
        if connection is not None:
            del self._threads_own.connection
            connection.close()

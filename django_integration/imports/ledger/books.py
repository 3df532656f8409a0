"""What every part of the ledger has at hand: the database, the clock, and who is dead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from django.db import connections

from django_integration.conf import import_settings
from django_integration.imports.ledger.clock import DatabaseClock
from django_integration.imports.ledger.queries import LedgerQueries
from django_integration.imports.ledger.rows import LedgerRows
from django_integration.imports.ledger.watched_rows import WatchedRows
from django_integration.imports.savepoints import RowSavepoints
from engine.ledger import owner as owners


class Books:
    """Connections are Django's own, one per thread."""

    def __init__(
        self,
        using: str | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        is_dead: Callable[[str], bool | None] = owners.is_dead,
    ) -> None:
        """
        Args:
            using: the database alias; None for IMPORT_DATABASE.
            clock: tells the time; None for the database's (`DatabaseClock`).
            is_dead: tells whether an owner is gone; None where that cannot be told.
        """
        self._using = using or import_settings().database
        self._clock = clock or DatabaseClock(self._using)
        self._is_dead = is_dead
        self._rows = LedgerRows(self._using)
        self._queries = LedgerQueries(self._using, self._rows)
        self._watched = WatchedRows(self._using)
        self._lost: dict[tuple[str, int], int] = {}  # chunk → attempts of this process whose transaction was lost
        self._kept_attempts: set[str] = set()  # tokens of attempts that count although they were given back
        self._locked: dict[str, RowSavepoints] = {}  # by token, the attempts whose row lock is their lease
        self._silenced: set[str] = set()  # tokens of attempts whose session ended because a row was silent

    @property
    def url(self) -> str:
        """For messages only: every process of the project opens the same database."""
        return f"django:///{self._using}"

    def close(self) -> None:
        self._watched.close()
        connections[self._using].close()

    def _close_in_side_thread(self) -> None:
        """Threads of the engine end soon; their connections must not stay behind."""
        if threading.current_thread() is not threading.main_thread():
            connections[self._using].close()

"""A savepoint per row, made only when the row's handler really talks to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from django.db import DatabaseError, connections


class SwallowedDatabaseError(Exception):
    """The handler called the row good after a statement of it had failed."""


class RowSavepoints:
    """The guard of an atomic chunk. See `engine.guard.RowGuard`.

    A savepoint and its release are two round trips, which would be most of the time of a handler
    that only computes. So the guard watches the connection and sets the savepoint before the
    first statement of a row, if there is one.
    """

    def __init__(self, using: str) -> None:
        self._connection = connections[using]
        self._savepoint: str | None = None
        self._has_rows = False
        self.is_set = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the statements of this thread's connection while the chunk runs."""
        with self._connection.execute_wrapper(self._before_statement):
            yield

    def __enter__(self) -> None:
        self._has_rows = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_rows = False

    def keep(self) -> None:
        """Let what the row did stand. Raises SwallowedDatabaseError, having undone it."""
        connection = self._connection
        if connection.needs_rollback:
            self.undo()
            raise SwallowedDatabaseError("The handler called the row good although a database statement of it failed.")
        with self._between_rows() as savepoint:
            try:
                connection.savepoint_commit(savepoint)
            except DatabaseError as failure:
                self._roll_back(savepoint)
                raise SwallowedDatabaseError(
                    f"The handler called the row good although a database statement of it failed: {failure}"
                ) from failure

    def undo(self) -> None:
        """Roll back what the row did."""
        with self._between_rows() as savepoint:
            self._roll_back(savepoint)

    def _roll_back(self, savepoint: str) -> None:
        # Django sets it when an error passes an inner atomic block, and lets no statement pass until it is
        # unset; rolling back to the savepoint undoes that block.
        self._connection.needs_rollback = False
        self._connection.savepoint_rollback(savepoint)

    @contextmanager
    def _between_rows(self) -> Iterator[str]:
        """The savepoint that was set, for its end: a statement of the guard's own, not of a row."""
        savepoint = self._savepoint
        assert savepoint is not None
        self.is_set, self._savepoint, self._has_rows = False, None, False
        try:
            yield savepoint
        finally:
            self._has_rows = True

    def _before_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self._has_rows and not self.is_set:
            self._has_rows = False  # the savepoint's own statement comes through here as well
            try:
                self._savepoint = self._connection.savepoint()
                self.is_set = True
            finally:
                self._has_rows = True
        return execute(sql, params, many, context)

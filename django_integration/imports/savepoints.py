"""A savepoint per row, made only when the row's handler really talks to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from django.db import DatabaseError, connections


class SwallowedDatabaseError(Exception):
    """The handler called a row good after a statement of it had failed."""


class RowSavepoints:
    """The row guard of an atomic chunk: `with guard():` around each row.

    A savepoint and its release are two round trips, which would be most of the time of a handler
    that only computes. So the guard watches the connection and sets the savepoint before the
    first statement of a row, if there is one.
    """

    def __init__(self, using: str) -> None:
        self._connection = connections[using]
        self._savepoint: str | None = None
        self._in_row = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the statements of this thread's connection while the chunk runs."""
        with self._connection.execute_wrapper(self._before_statement):
            yield

    def __call__(self) -> Self:
        """A guard around the next row."""
        return self

    def __enter__(self) -> None:
        self._in_row = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._in_row = False
        savepoint, self._savepoint = self._savepoint, None
        if savepoint is None:
            return
        connection = self._connection
        if kind is not None:
            self._roll_back(savepoint)
            return
        if connection.needs_rollback:
            self._roll_back(savepoint)
            raise SwallowedDatabaseError("The handler called the row good although a database statement of it failed.")
        try:
            connection.savepoint_commit(savepoint)
        except DatabaseError as failure:
            self._roll_back(savepoint)
            raise SwallowedDatabaseError(
                f"The handler called the row good although a database statement of it failed: {failure}"
            ) from failure

    def _roll_back(self, savepoint: str) -> None:
        # Django sets it when an error passes an inner atomic block, and lets no statement pass until it is
        # unset; rolling back to the savepoint undoes that block.
        self._connection.needs_rollback = False
        self._connection.savepoint_rollback(savepoint)

    def _before_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self._in_row and self._savepoint is None:
            self._in_row = False  # the savepoint's own statement comes through here as well
            self._savepoint = self._connection.savepoint()
            self._in_row = True
        return execute(sql, params, many, context)

"""A savepoint per row, made only when the row's handler really talks to the database or leaves it something to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from django.db import DatabaseError, connections
from django.db import Error as AnyDatabaseError

from engine.guard import TransactionLostError

logger = logging.getLogger(__name__)

#: What a transaction is to call behind its COMMIT.
CommitHook = Callable[[], object]


class SwallowedDatabaseError(Exception):
    """The handler called the row good after a statement of it had failed."""


class RowSavepoints:
    """The guard of an atomic chunk. See `engine.guard.RowGuard`.

    A savepoint and its release are two round trips, which would be most of the time of a handler
    that only computes. So the guard watches the connection and sets the savepoint before the
    first statement of a row, if there is one.

    What a row registers with `transaction.on_commit` goes with what it wrote: Django would drop it
    with a savepoint of its own only, and a row may register it without any statement.
    """

    def __init__(self, using: str) -> None:
        self._connection = connections[using]
        self._savepoint: str | None = None
        self._hooks_before = 0
        self._has_rows = False
        self.is_set = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch statements and commit hooks of this thread's connection while the chunk runs."""
        connection = self._connection
        connection.on_commit = self._on_commit  # type: ignore[method-assign]
        try:
            with connection.execute_wrapper(self._before_statement):
                yield
        finally:
            del connection.on_commit  # the method of its class stands again

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
            if savepoint is None:
                return
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

    def _roll_back(self, savepoint: str | None) -> None:
        # Inner blocks have dropped at most what came behind these.
        del self._connection.run_on_commit[self._hooks_before :]
        # Django sets it when an error passes an inner atomic block, and lets no statement pass until it is
        # unset; rolling back to the savepoint undoes that block.
        self._connection.needs_rollback = False
        if savepoint is not None:
            try:
                self._connection.savepoint_rollback(savepoint)
            except AnyDatabaseError as failure:
                # MySQL undoes the whole transaction at a deadlock, SQLite when its disk is full, and both go on as if
                # nothing were: what rows before this one wrote is gone, though they count as done.
                raise TransactionLostError(str(failure)) from failure

    @contextmanager
    def _between_rows(self) -> Iterator[str | None]:
        """The savepoint that was set, if any, for its end: a statement of the guard's own, not of a row."""
        savepoint = self._savepoint
        self.is_set, self._savepoint, self._has_rows = False, None, False
        try:
            yield savepoint
        finally:
            self._has_rows = True

    def _begin(self) -> None:
        """The first that a row does: remember what there is to go back to."""
        if not self.is_set:
            self._hooks_before = len(self._connection.run_on_commit)
            self.is_set = True

    def _before_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self._has_rows and self._savepoint is None:
            self._has_rows = False  # the savepoint's own statement comes through here as well
            try:
                self._savepoint = self._connection.savepoint()
                self._begin()
            finally:
                self._has_rows = True
        return execute(sql, params, many, context)

    def _on_commit(self, func: CommitHook, robust: bool = False) -> None:
        """As the connection's own, for hooks of rows: what one of them raises ends nothing but itself."""
        if self._has_rows and callable(func):
            self._begin()
            func = _contained(func)
        type(self._connection).on_commit(self._connection, func, robust)


def _contained(hook: CommitHook) -> CommitHook:
    """A hook that does not raise: its chunk is committed, and those of the other rows are to run."""

    def run() -> None:
        try:
            hook()
        except KeyboardInterrupt:
            raise
        except BaseException:
            logger.error("commit hook of a row failed", exc_info=True, extra={"hook": _name_of(hook)})

    return run


def _name_of(hook: CommitHook) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__qualname__))

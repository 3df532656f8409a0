"""A savepoint per row, made only when the row's handler really talks to the database or leaves it something to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from django.db import DatabaseError, IntegrityError, connections
from django.db import Error as AnyDatabaseError
from django.db.backends.utils import CursorWrapper

from django_integration.imports.database_errors import IDLE_SESSION_ENDED, gave_way, is_deadlock, sqlstate_of
from engine.guard import TransactionLostError

logger = logging.getLogger(__name__)

#: On PostgreSQL in front of a row's release: what is left to be checked at COMMIT, as Django's foreign keys are.
_CHECK_DEFERRED = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; "
#: What a transaction is to call behind its COMMIT.
CommitHook = Callable[[], object]


class SwallowedDatabaseError(Exception):
    """The handler called the row good after a statement of it had failed."""


class RowSavepoints:
    """The guard of an atomic chunk. See `engine.guard.RowGuard`.

    A savepoint and its release are two round trips, which would be most of the time of a handler
    that only computes. So the guard watches the connection and sets the savepoint before the
    first statement of a row, if there is one. (Its cursor tells, as COPY passes by those who watch statements.)

    A foreign key that points nowhere is an error of its row, where the database can be asked at the end of each.

    What a row registers with `transaction.on_commit` goes with what it wrote: Django would drop it
    with a savepoint of its own only, and a row may register it without any statement.

    A row that fails after it had to give way to another transaction, at a deadlock above all, is not to blame, and its
    savepoint is no way out: what the chunk has locked until then stays locked, and stays in the way of the other. So
    that is the end of the attempt; whoever runs the chunk once more has nothing locked.

    `is_lost` tells that the server has ended the session because a row let it wait for too long.
    """

    def __init__(self, using: str, *, may_give_way: bool = True) -> None:
        """
        Args:
            may_give_way: False makes what another transaction is to blame for a failure of the row.
        """
        self._connection = connections[using]
        self._may_give_way = may_give_way
        self._gave_way: DatabaseError | None = None
        self._savepoint: str | None = None
        self._hooks_before = 0
        self._has_rows = False
        self._has_begun = False
        self._is_due = False
        self.is_set = False
        self.is_lost = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch statements, commit hooks and the end of this thread's connection while the chunk runs."""
        connection = self._connection
        connection.on_commit = self._on_commit  # type: ignore[method-assign]
        connection.close = self._close  # type: ignore[method-assign]
        connection.cursor = self._cursor  # type: ignore[method-assign]
        try:
            with connection.execute_wrapper(self._before_statement):
                yield
        finally:
            del connection.on_commit, connection.close, connection.cursor  # the methods of its class stand again

    def nudge(self) -> None:
        """Have the next row that ends send a statement, if it has sent none; called by another thread.

        The server ends a session that is silent amid its transaction (IMPORT_IDLE_TRANSACTION_SECONDS), and rows may be
        busy elsewhere for longer than that together. A row that never ends sends nothing, so that a process that hangs
        loses its chunk.
        """
        self._is_due = True
        self.is_set = True  # what the loops over rows look at

    def __enter__(self) -> None:
        self._has_rows = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_rows = False

    def keep(self) -> None:
        """Let what the row did stand.

        Raises:
            SwallowedDatabaseError, IntegrityError: having undone it.
            TransactionLostError: as `undo`.
        """
        connection = self._connection
        if connection.needs_rollback:
            self.undo()
            raise SwallowedDatabaseError("The handler called the row good although a database statement of it failed.")
        with self._between_rows() as savepoint:
            if savepoint is None:
                self._show_life()
                return
            try:
                self._release(savepoint)
            except IntegrityError:
                self._roll_back(savepoint)
                raise
            except DatabaseError as failure:
                self._roll_back(savepoint)
                raise SwallowedDatabaseError(
                    f"The handler called the row good although a database statement of it failed: {failure}"
                ) from failure

    def undo(self) -> None:
        """Roll back what the row did. Raises TransactionLostError where that goes for the rows before it, too."""
        with self._between_rows() as savepoint:
            self._roll_back(savepoint)

    def check_refusal(self) -> None:
        """See the protocol."""
        if self._gave_way is not None and self._may_give_way:
            raise TransactionLostError(str(self._gave_way)) from self._gave_way

    def _roll_back(self, savepoint: str | None) -> None:
        if self._has_begun:
            # Inner blocks have dropped at most what came behind these.
            del self._connection.run_on_commit[self._hooks_before :]
        # Django sets it when an error passes an inner atomic block, and lets no statement pass until it is
        # unset; rolling back to the savepoint undoes that block.
        self._connection.needs_rollback = False
        if savepoint is None:
            self._show_life()
        else:
            try:
                self._connection.savepoint_rollback(savepoint)
            except AnyDatabaseError as failure:
                # MySQL undoes the whole transaction at a deadlock, SQLite when its disk is full, and both go on as if
                # nothing were: what rows before this one wrote is gone, though they count as done.
                cause = self._gave_way or failure
                raise TransactionLostError(str(cause)) from cause
        self.check_refusal()

    def _release(self, savepoint: str) -> None:
        connection = self._connection
        if connection.vendor != "postgresql":
            connection.savepoint_commit(savepoint)
            return
        with connection.cursor() as cursor:  # at once, as each trip to the server counts
            cursor.execute(_CHECK_DEFERRED + connection.ops.savepoint_commit_sql(savepoint))

    def _show_life(self) -> None:
        if self._is_due:
            self._is_due = False
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")

    @contextmanager
    def _between_rows(self) -> Iterator[str | None]:
        """The savepoint that was set, if any, for its end: a statement of the guard's own, not of a row."""
        savepoint = self._savepoint
        self.is_set, self._savepoint, self._has_rows = False, None, False
        try:
            yield savepoint
        finally:
            self._has_begun, self._has_rows, self._gave_way = False, True, None
            if self.is_lost:
                raise TransactionLostError("The server has ended the session, which was silent for too long.")

    def _begin(self) -> None:
        """The first that a row does: remember what there is to go back to."""
        if not self._has_begun:
            self._hooks_before = len(self._connection.run_on_commit)
            self._has_begun = self.is_set = True

    def _set_savepoint(self) -> None:
        """Once for each row."""
        if self._has_rows and self._savepoint is None:
            self._has_rows = False  # the savepoint's own statement comes through here as well
            try:
                self._savepoint = self._connection.savepoint()
                self._begin()
            finally:
                self._has_rows = True

    def _cursor(self) -> CursorWrapper:
        """As the connection's own, behind the savepoint of the row."""
        self._set_savepoint()
        return type(self._connection).cursor(self._connection)

    def _before_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        self._set_savepoint()
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            self.is_lost = self.is_lost or sqlstate_of(error) == IDLE_SESSION_ENDED
            # Who asks to be told of a lock, in place of waiting for it, means what it makes of the answer.
            if is_deadlock(error) or (gave_way(error) and "NOWAIT" not in str(sql).upper()):
                self._gave_way = error
            raise

    def _on_commit(self, func: CommitHook, robust: bool = False) -> None:
        """As the connection's own, for hooks of rows: what one of them raises ends nothing but itself."""
        if self._has_rows and callable(func):
            self._begin()
            func = _contained(func)
        type(self._connection).on_commit(self._connection, func, robust)

    def _close(self) -> None:
        """As the connection's own, but for rows, which may not end the transaction of their chunk.

        Handlers that are also called elsewhere close connections to get a fresh one (`close_old_connections`); the one
        that they have is as good. Closed amid the transaction it would undo all rows, in every attempt anew.
        """
        if not self._has_rows:
            type(self._connection).close(self._connection)


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

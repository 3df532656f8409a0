"""Django's database errors → the ledger's, so that a connection that broke is told apart from a defect."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections

from engine.errors import LedgerError, LedgerUnavailableError

_Method = TypeVar("_Method", bound=Callable[..., Any])


#: SQLSTATEs with which PostgreSQL ends a session, though Django calls some of them internal errors: an idle
#: transaction (25P03, 25P04), a shutdown, an administrator (class 57), a lost connection (class 08).
_SESSION_ENDED = ("25P03", "25P04", "57", "08")
#: That of a transaction which was silent for IMPORT_IDLE_TRANSACTION_SECONDS.
IDLE_SESSION_ENDED = "25P03"


def sqlstate_of(error: DatabaseError) -> str:
    """PostgreSQL's code of an error; empty where there is none."""
    return str(getattr(error.__cause__, "sqlstate", None) or "")


#: How a database says that it has undone a transaction so that another one could go on: PostgreSQL, MySQL.
_DEADLOCKS = ("40P01", "40001", 1213)
#: That a lock was not to be had in time.
_LOCKED = ("55P03", 1205)
#: How MySQL's client says that the server is gone.
_CONNECTION_LOST = (2006, 2013, 2055)
#: Tries of a method that deadlocks undo. MySQL locks gaps between rows as well, and so has more of them.
_DEADLOCK_ATTEMPTS = 5
_DEADLOCK_PAUSE_SECONDS = 0.05


def is_deadlock(error: DatabaseError) -> bool:
    """Whether the transaction may well pass if it is run again."""
    return _code_of(error) in _DEADLOCKS


def gave_way(error: DatabaseError) -> bool:
    """Whether another transaction is to blame for it, by what it has locked or changed."""
    return _code_of(error) in (*_DEADLOCKS, *_LOCKED)


def ended_session(error: DatabaseError, using: str) -> bool:
    """Whether the connection is gone, rather than what the statement needed."""
    if connections[using].vendor == "postgresql":
        return not sqlstate_of(error) or sqlstate_of(error).startswith(_SESSION_ENDED)
    return _code_of(error) in _CONNECTION_LOST


def _code_of(error: DatabaseError) -> object:
    return sqlstate_of(error) or next(iter(getattr(error.__cause__, "args", ())), None)


def as_ledger_error(error: DatabaseError, **facts: Any) -> LedgerError:
    """The same error in the engine's words; transient where another connection may do better."""
    if isinstance(error, OperationalError | InterfaceError) or sqlstate_of(error).startswith(_SESSION_ENDED):
        return LedgerUnavailableError(f"The database does not answer: {error}", **facts)
    return LedgerError(f"The database refuses a statement of the engine: {error}", **facts)


@contextmanager
def translated(using: str, **facts: Any) -> Iterator[None]:
    """Raise database errors as the ledger's; a connection of which one came is not used again."""
    try:
        yield
    except DatabaseError as error:
        if not connections[using].in_atomic_block:  # else whoever began the transaction ends it
            connections[using].close()
        raise as_ledger_error(error, **facts) from error


def ledger_errors(method: _Method) -> _Method:
    """Decorates a method of a ledger: it raises `LedgerError`s only, and is repeated when a deadlock undoes it."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        for attempt in range(1, _DEADLOCK_ATTEMPTS + 1):
            try:
                return method(self, *arguments, **options)
            except DatabaseError as error:
                # Undone by then, so that it can be done once more; within a transaction that is its maker's affair.
                is_worth_repeating = is_deadlock(error) and not connections[self._using].in_atomic_block
                if attempt == _DEADLOCK_ATTEMPTS or not is_worth_repeating:
                    with translated(self._using):
                        raise
            time.sleep(random.uniform(0, _DEADLOCK_PAUSE_SECONDS * attempt))  # noqa: S311 - so that two do not meet again
        raise AssertionError("unreachable")

    return cast(_Method, call)

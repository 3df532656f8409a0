"""Django's database errors → the ledger's, so that a connection that broke is told apart from a defect."""

from __future__ import annotations

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
    """Decorates a method of a ledger so that it raises `LedgerError`s only."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        with translated(self._using):
            return method(self, *arguments, **options)

    return cast(_Method, call)

"""Savepoints around what a handler does to a database: what they are to the adapters, who makes them or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol


class TransactionLostError(Exception):
    """The transaction of an attempt has ended under its rows, and what they wrote is gone: the attempt's end."""


class RowGuard(Protocol):
    """Sets a savepoint before the first statement of a row; a row that sends none costs one look at `is_set`.

    with guard:
        for row in rows:
            ...  # the handler
            if guard.is_set:
                guard.keep()  # or guard.undo(), for a refused row
    """

    is_set: bool
    """Whether there is a savepoint to keep or undo: a statement was sent since the last one."""

    def __enter__(self) -> object:
        """Rows begin: statements of this thread are theirs until the context ends."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Rows end. An error that leaves them is to undo the whole transaction."""

    def keep(self) -> None:
        """Let what the row did stand. Raises what there is to say against it; then it has been undone.

        Raises TransactionLostError where earlier rows have been undone as well; so does `undo`.
        """

    def undo(self) -> None:
        """Roll back what the row did."""

    def check_refusal(self) -> None:
        """Raise TransactionLostError where a refusal may come from what another transaction did, not from the row.

        For refusals of a batch, which undo nothing; `undo` looks at it itself.
        """


@contextmanager
def one_savepoint(guard: RowGuard | None) -> Iterator[None]:
    """One savepoint around all that is done within, undone by an error that leaves it; nothing without a guard."""
    if guard is None:
        yield
        return
    with guard:
        try:
            yield
        except BaseException:
            if guard.is_set:
                guard.undo()
            raise
        if guard.is_set:
            guard.keep()

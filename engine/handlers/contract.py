"""What a handler is: the team's code that decides over one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar


class RowHandler(Protocol):
    """`handler(row_index, row, import_job_id, options)`.

    Returns `{"ok": True, "result": {...}}` or `{"ok": False, "error": "..."}`.
    """

    def __call__(self, row_index: int, row: list[str], import_job_id: str, options: dict[str, Any], /) -> Any:
        """Decide over one row; a raised exception refuses it."""


_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def not_atomic(handler: _Handler) -> _Handler:
    """Declare that a handler's effects lie outside the ledger's database: HTTP, mail, another database.

    Its rows then run without a transaction, and at least once: after a crash a chunk runs again
    from its start. `idempotency_key` names a row for the other side.
    """
    handler._rowmill_not_atomic = True  # type: ignore[attr-defined]
    return handler


def is_atomic(handler: Any) -> bool:
    """Whether the handler's writes belong into the chunk's transaction."""
    return not getattr(handler, "_rowmill_not_atomic", False)


def idempotency_key(import_job_id: str, row_index: int) -> str:
    """A name for one row of one import, the same in every attempt."""
    return f"{import_job_id}:{row_index}"


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A refused row."""

    message: str
    """The text of the `import_error` column."""

"""What a handler is: the team's code that decides over one row, or over a batch of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import polars


class RowHandler(Protocol):
    """`handler(row_index, row, import_job_id, options)`.

    Returns `{"ok": True, "result": {...}}` or `{"ok": False, "error": "..."}`.
    """

    def __call__(self, row_index: int, row: list[str], import_job_id: str, options: dict[str, Any], /) -> Any:
        """Decide over one row; a raised exception refuses it."""


class BatchHandler(Protocol):
    """`handler(first_row_index, batch, import_job_id, options)`.

    `batch` has a column of type String per column of the source, named by its header; an empty
    cell is "". Row `i` of the frame has the row_index `first_row_index + i`.

    Returns one error per row, None where the row is accepted: a list, a polars Series, an Arrow or
    numpy array of length `batch.height`; or `{"error": column, "result": column or frame}`.
    """

    def __call__(
        self, first_row_index: int, batch: polars.DataFrame, import_job_id: str, options: dict[str, Any], /
    ) -> Any:
        """Decide over a batch; a raised exception refuses the rows that cause it, found by bisection."""


#: What a handler is called with: a row, or a batch.
HandlerMode = Literal["row", "batch"]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def not_atomic(handler: _Handler) -> _Handler:
    """Declare that a handler's effects lie outside the ledger's database: HTTP, mail, another database.

    Its rows then run without a transaction, and at least once: after a crash a chunk runs again
    from its start. `idempotency_key` names a row for the other side.
    """
    handler._rowmill_not_atomic = True  # type: ignore[attr-defined]
    return handler


def batch_handler(handler: _Handler) -> _Handler:
    """Declare that a handler takes batches (see `BatchHandler`), wherever its path is named."""
    handler._rowmill_batch = True  # type: ignore[attr-defined]
    return handler


def mode_of(handler: Any) -> HandlerMode:
    """What the handler itself declares to be called with."""
    return "batch" if getattr(handler, "_rowmill_batch", False) else "row"


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

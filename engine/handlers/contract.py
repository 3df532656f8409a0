"""What a handler is: the team's code that decides over one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class RowHandler(Protocol):
    """`handler(row_index, row, import_job_id, options)`.

    Returns `{"ok": True, "result": {...}}` or `{"ok": False, "error": "..."}`.
    """

    def __call__(self, row_index: int, row: list[str], import_job_id: str, options: dict[str, Any], /) -> Any:
        """Decide over one row; a raised exception refuses it."""


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A refused row."""

    message: str
    """The text of the `import_error` column."""

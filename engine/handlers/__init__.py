"""The team's code: how it is found, and how it is called."""

from engine.handlers.contract import RowFailure, RowHandler, idempotency_key, is_atomic, not_atomic
from engine.handlers.resolve import handler_path_of, resolve_handler
from engine.handlers.row_adapter import RowAdapter

__all__ = [
    "RowAdapter",
    "RowFailure",
    "RowHandler",
    "handler_path_of",
    "idempotency_key",
    "is_atomic",
    "not_atomic",
    "resolve_handler",
]

"""The team's code: how it is found, and how it is called."""

from engine.handlers.batch_adapter import BatchAdapter, frame_columns, use_one_polars_thread
from engine.handlers.contract import (
    BatchHandler,
    HandlerMode,
    RowFailure,
    RowHandler,
    batch_handler,
    idempotency_key,
    is_atomic,
    mode_of,
    not_atomic,
)
from engine.handlers.resolve import handler_path_of, resolve_handler
from engine.handlers.row_adapter import RowAdapter

__all__ = [
    "BatchAdapter",
    "BatchHandler",
    "HandlerMode",
    "RowAdapter",
    "RowFailure",
    "RowHandler",
    "batch_handler",
    "frame_columns",
    "handler_path_of",
    "idempotency_key",
    "is_atomic",
    "mode_of",
    "not_atomic",
    "resolve_handler",
    "use_one_polars_thread",
]

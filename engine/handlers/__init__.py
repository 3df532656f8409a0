"""The team's code: how it is found, and how it is called."""

from engine.handlers.contract import RowFailure, RowHandler
from engine.handlers.resolve import handler_path_of, resolve_handler
from engine.handlers.row_adapter import RowAdapter

__all__ = ["RowAdapter", "RowFailure", "RowHandler", "handler_path_of", "resolve_handler"]

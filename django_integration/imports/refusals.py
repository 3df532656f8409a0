"""Why a request cannot be met, as views and the admin tell it."""

from __future__ import annotations


class RequestRefusedError(Exception):
    """A request that cannot be met, with the field that is to blame."""

    def __init__(self, field: str, message: str, *, code: str = "invalid", option: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.code = code
        self.option = option
        """The import option within `options`, where it is one."""


class JobStateError(Exception):
    """The job has ended, in a way that does not allow what was asked for."""


class IdempotencyConflictError(Exception):
    """The same Idempotency-Key came with another request before."""

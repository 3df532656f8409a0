"""Why something about a file is refused: a stable code for programs, a translated message for people.

FileRefusedError
├── LinkError           a signed link is expired, tampered with, or none of ours
├── UploadError         what comes through an upload link is not taken
└── ConfirmationError   what arrived is not what was announced, or not allowed
"""

from __future__ import annotations


class FileRefusedError(Exception):
    """Base: `code` and `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class LinkError(FileRefusedError):
    """`invalid_link` or `expired_link`."""


class UploadError(FileRefusedError):
    """`not_found`, `already_confirmed`, `unknown_purpose`, `too_large`, `size_mismatch` or `incomplete`."""


class ConfirmationError(FileRefusedError):
    """One of `CONFIRMATION_CODES`."""


#: What the answer to a confirmation may say of one file.
CONFIRMATION_CODES = (
    "not_found",
    "already_confirmed",
    "unknown_purpose",
    "missing",
    "empty",
    "too_large",
    "size_mismatch",
    "checksum_mismatch",
    "wrong_type",
    "wrong_parts",
    "changed",
    "storage_unavailable",
)

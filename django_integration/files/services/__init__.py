"""Presigning, receiving and confirming uploads. Views translate, models record, this works."""

from django_integration.files.services.access import may_manage, visible_files
from django_integration.files.services.confirming import MAX_CONFIRM_FILES, Confirmation, ConfirmEntry, confirm
from django_integration.files.services.presigning import PresignedUpload, presign, upload_seconds
from django_integration.files.services.receiving import ByteStream, receive
from django_integration.files.services.unconfirmed import remove_unconfirmed

__all__ = [
    "MAX_CONFIRM_FILES",
    "ByteStream",
    "ConfirmEntry",
    "Confirmation",
    "PresignedUpload",
    "confirm",
    "may_manage",
    "presign",
    "receive",
    "remove_unconfirmed",
    "upload_seconds",
    "visible_files",
]

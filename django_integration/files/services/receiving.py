"""What comes through an upload link of our own, where the storage has none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

from django.db import transaction
from django.utils.translation import gettext as _

from django_integration.conf import MIB, import_settings
from django_integration.files.errors import UploadError
from django_integration.files.models import FileModel
from django_integration.files.services.confirming import limits_for
from django_integration.files.storage import file_storage

_logger = logging.getLogger(__name__)

#: Held in memory while an upload is received.
_BLOCK_BYTES = 1 * MIB


class ByteStream(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def receive(file_id: int, stream: ByteStream, announced_bytes: int) -> FileModel:
    """Store what comes through an upload link of our own: whole or not at all, in bounded memory.

    Repeating it replaces the content until the file is confirmed; from then on it is refused.

    Args:
        file_id: of the link.
        stream: the request's body.
        announced_bytes: its Content-Length; no byte beyond is read.

    Raises:
        FileRefusedError: the file is gone or confirmed, or its size is not allowed, or the body ends early.
        RowmillError: the storage refuses it.
    """
    file = FileModel.objects.filter(pk=file_id).first()
    if file is None:
        raise UploadError("not_found", _("There is no such file."))
    _check_open(file)
    if announced_bytes > limits_for(file).max_bytes:
        raise UploadError("too_large", _("The file is larger than is allowed."))
    if file.size is not None and announced_bytes != file.size:
        # As a storage does whose links have the size signed.
        raise UploadError("size_mismatch", _("The size is not the one that was announced."))
    with ExitStack() as stack:
        writer = stack.enter_context(file_storage().open_writer(file.file_path))
        for block in _exactly(stream, announced_bytes):
            writer.write(block)
        with transaction.atomic(using=import_settings().database):
            # Until the new content has taken its place nobody confirms the old one.
            _check_open(FileModel.objects.select_for_update().get(pk=file_id))
            stack.close()
    _logger.info("upload received", extra={"file_id": file.pk, "size_bytes": announced_bytes})
    return file


def _check_open(file: FileModel) -> None:
    if file.is_confirmed:
        raise UploadError(
            "already_confirmed", _("The file is confirmed and can no longer be replaced; start a new upload.")
        )


def _exactly(stream: ByteStream, size_bytes: int) -> Iterator[bytes]:
    """The announced bytes, no more and no fewer."""
    left = size_bytes
    while left:
        try:
            block = stream.read(min(left, _BLOCK_BYTES))
        except OSError as error:
            raise UploadError("incomplete", _("The upload broke off.")) from error
        if not block:
            raise UploadError("incomplete", _("The upload broke off."))
        left -= len(block)
        yield block

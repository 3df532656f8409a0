"""What has arrived in the storage, held against what was announced and what is allowed."""

from __future__ import annotations

import hashlib
import hmac
import logging

from django.utils.translation import gettext as _

from django_integration.files.content import HEAD_BYTES, why_refused
from django_integration.files.errors import ConfirmationError
from django_integration.files.limits import Limits, too_large
from django_integration.files.storage import ObjectInfo, ObjectMissingError, RowmillError, SourceChangedError, Storage

_logger = logging.getLogger(__name__)

#: Held in memory while a checksum is made, a few times.
_BLOCK_BYTES = 4 * 1024 * 1024


def verified(storage: Storage, key: str, *, size: int, checksum: str, limits: Limits, file_name: str) -> ObjectInfo:
    """The one version of the object that was read whole and is as announced. A repeat reads it again.

    What may never be kept, for its size or its type, is removed; what merely differs from the
    announcement stays, so that the client can correct either.

    Args:
        storage: of the object.
        key: of the object.
        size: bytes, as the client says.
        checksum: SHA-256 in lower-case hexadecimal, as the client says.
        limits: of the purpose.
        file_name: whose ending says what the content is.

    Raises:
        ConfirmationError: `missing`, `empty`, `too_large`, `size_mismatch`, `wrong_type`,
            `checksum_mismatch` or `changed`.
        RowmillError: the storage cannot be asked.
    """
    try:
        found = storage.stat(key)
        if found.size_bytes > limits.max_bytes:
            _remove(storage, key)
            raise ConfirmationError("too_large", too_large(limits))
        if found.size_bytes != size:
            message = _("%(found)d bytes have arrived, not %(size)d.") % {"found": found.size_bytes, "size": size}
            raise ConfirmationError("size_mismatch", message)
        if not found.size_bytes:
            raise ConfirmationError("empty", _("The file is empty."))
        refusal = why_refused(storage.read_range(key, 0, min(size, HEAD_BYTES), etag=found.etag), file_name)
        if refusal:
            _remove(storage, key)
            raise ConfirmationError("wrong_type", refusal)
        digest = hashlib.sha256()
        for block in storage.read_blocks(key, 0, size, block_bytes=_BLOCK_BYTES, etag=found.etag):
            digest.update(block)
    except ObjectMissingError as error:
        raise ConfirmationError("missing", _("The file has not arrived.")) from error
    except SourceChangedError as error:
        raise changed() from error
    if not hmac.compare_digest(digest.hexdigest(), checksum):
        raise ConfirmationError("checksum_mismatch", _("The SHA-256 of what has arrived is another one."))
    return found


def is_still(storage: Storage, key: str, version: ObjectInfo) -> bool:
    """Whether the object is the version that was verified."""
    try:
        return storage.stat(key).etag == version.etag
    except ObjectMissingError:
        return False


def changed() -> ConfirmationError:
    """The error for an object that was replaced while it was looked at."""
    return ConfirmationError("changed", _("The file was replaced while it was checked; confirm it again."))


def _remove(storage: Storage, key: str) -> None:
    try:
        storage.delete([key])
    except RowmillError as error:
        # It stays unconfirmed, which is what matters.
        _logger.warning("refused upload not removed", extra={"key": key, "reason": error.code})

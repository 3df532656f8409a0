"""A file that has arrived is verified, and may be imported from then on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from django_integration.conf import file_settings, import_settings
from django_integration.files.arrival import changed, is_still, verified
from django_integration.files.direct import finish_parts, presigner
from django_integration.files.errors import ConfirmationError
from django_integration.files.limits import Limits, limits_of
from django_integration.files.models import FileModel
from django_integration.files.services.access import visible_files
from django_integration.files.storage import RowmillError, file_storage

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_logger = logging.getLogger(__name__)

#: Files of one confirm request: each is read whole while the client waits.
MAX_CONFIRM_FILES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmEntry:
    """What a client says about one file that it sent."""

    file_id: int
    checksum: str
    """SHA-256 in hexadecimal."""
    size: int
    """Bytes."""
    parts: tuple[tuple[int, str], ...] | None = None
    """Part numbers and ETags of a multipart upload; None: whatever has arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What came of confirming one file."""

    file_id: int
    file: FileModel | None
    """None where the user has no such file."""
    error: ConfirmationError | None

    @property
    def is_confirmed(self) -> bool:
        """Whether the file may be imported now, by this confirmation or an earlier one."""
        return self.file is not None and self.file.is_confirmed

    @property
    def status(self) -> str:
        """`confirmed` or `failed`."""
        return "confirmed" if self.error is None else "failed"


def confirm(user: AbstractBaseUser, entries: Sequence[ConfirmEntry]) -> list[Confirmation]:
    """Verify that each file has arrived as the client says, and let imports use it from then on.

    Every file gets an answer of its own, in the order of the entries, and one file's failure is
    nothing to the others. Repeating it with the same checksum and size is harmless and reads
    nothing; with others it is an error. A file is read whole, in bounded memory.
    """
    return [_confirm_one(user, entry) for entry in entries]


def _confirm_one(user: AbstractBaseUser, entry: ConfirmEntry) -> Confirmation:
    file = visible_files(user).filter(pk=entry.file_id).first()
    try:
        if file is None:
            # Whether somebody else has such a file is not told.
            raise ConfirmationError("not_found", _("There is no such file."))
        if not file.is_confirmed:
            file = _verify(file, entry)
        _check_same(file, entry)
    except ConfirmationError as error:
        _logger.info("upload not confirmed", extra={"file_id": entry.file_id, "reason": error.code})
        return Confirmation(file_id=entry.file_id, file=file, error=error)
    except RowmillError as error:
        _logger.exception("storage failed at confirm", extra={"file_id": entry.file_id, "reason": error.code})
        # Its message names places that are nobody's business outside.
        refusal = ConfirmationError("storage_unavailable", _("The storage cannot be asked at the moment; try again."))
        return Confirmation(file_id=entry.file_id, file=file, error=refusal)
    return Confirmation(file_id=entry.file_id, file=file, error=None)


def _verify(file: FileModel, entry: ConfirmEntry) -> FileModel:
    """The file, confirmed by us or by somebody who was faster."""
    storage = file_storage()
    signing = presigner(storage)
    if file.upload_id and signing is not None:
        finish_parts(signing, file.file_path, file.upload_id, entry.size, entry.parts)
        FileModel.objects.filter(pk=file.pk).update(upload_id="")
        file.upload_id = ""
    version = verified(
        storage,
        file.file_path,
        size=entry.size,
        checksum=entry.checksum.lower(),
        limits=limits_for(file),
        file_name=file.file_name,
    )
    with transaction.atomic(using=import_settings().database):
        locked = FileModel.objects.select_for_update().get(pk=file.pk)
        if locked.is_confirmed:
            return locked
        if not is_still(storage, file.file_path, version):
            raise changed()
        locked.is_confirmed = True
        locked.confirmed_at = timezone.now()
        locked.size, locked.etag, locked.checksum = version.size_bytes, version.etag, entry.checksum.lower()
        locked.save()
    _logger.info("upload confirmed", extra={"file_id": file.pk, "size_bytes": version.size_bytes})
    return locked


def _check_same(file: FileModel, entry: ConfirmEntry) -> None:
    if (file.checksum, file.size) != (entry.checksum.lower(), entry.size):
        raise ConfirmationError(
            "already_confirmed", _("The file is confirmed already, with another checksum or size; start a new upload.")
        )


def limits_for(file: FileModel) -> Limits:
    """The limits of a file that was presigned. Raises ConfirmationError where its purpose exists no more."""
    try:
        return limits_of(file.purpose, file_settings())
    except ValidationError as error:
        raise ConfirmationError("unknown_purpose", _("Files for this purpose are no longer taken.")) from error

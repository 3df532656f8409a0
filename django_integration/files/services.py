"""Presigning, receiving and confirming uploads. Views translate, models record, this works."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from django_integration.conf import MIB, file_settings
from django_integration.files import links
from django_integration.files.arrival import changed, is_still, verified
from django_integration.files.direct import MultipartUpload, abort_parts, finish_parts, presigner, start_parts
from django_integration.files.errors import ConfirmationError, UploadError
from django_integration.files.limits import (
    MAX_UPLOAD_SECONDS,
    Limits,
    check_announced_size,
    clean_content_type,
    clean_file_name,
    limits_of,
)
from django_integration.files.models import FileModel
from django_integration.files.storage import RowmillError, file_storage

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

_logger = logging.getLogger(__name__)

#: Files of one confirm request: each is read whole while the client waits.
MAX_CONFIRM_FILES = 100

#: Held in memory while an upload is received or checked.
_BLOCK_BYTES = 1 * MIB

#: An unconfirmed upload of this age makes room for new ones.
_ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUpload:
    """One file to come, and how to send it."""

    file: FileModel
    presigned_url: str | None
    """Where the PUT goes; None for an upload in parts."""
    headers: Mapping[str, str]
    """To be sent along exactly so, since they are signed."""
    expires_at: datetime
    multipart: MultipartUpload | None


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


class ByteStream(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def may_manage(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether the user may see and confirm everybody's files."""
    return bool(user.has_perm("rowmill_files.manage_filemodels"))  # type: ignore[union-attr]


def visible_files(user: AbstractBaseUser | AnonymousUser) -> QuerySet[FileModel]:
    """The files that a user may know of: their own; with the permission to manage files, all."""
    files = FileModel.objects.all()
    return files if may_manage(user) else files.filter(uploaded_by_id=user.pk) if user.pk else files.none()


def upload_seconds() -> int:
    """How long an upload link lives."""
    return min(file_settings().upload_expires, MAX_UPLOAD_SECONDS)


def presign(
    user: AbstractBaseUser,
    purpose: str,
    file_name: str,
    size: int | None = None,
    content_type: str | None = None,
    *,
    request: HttpRequest | None = None,
) -> PresignedUpload:
    """Record a file to come and make the links for its upload. A repeat makes another file.

    The key is made here; the name is kept as a fact and is never part of a path.

    Raises:
        ValidationError: the purpose, name, announced size or type is not allowed, or too many uploads wait.
        RowmillError: the storage cannot be asked, or there are no credentials.
    """
    settings = file_settings()
    limits = limits_of(purpose, settings)
    name, extension = clean_file_name(file_name, limits)
    check_announced_size(size, limits)
    clean_type = clean_content_type(content_type, limits)
    _check_waiting(user, settings.max_unconfirmed_per_user)

    expires_seconds = upload_seconds()
    expires_at = timezone.now() + timedelta(seconds=expires_seconds)
    file = FileModel(
        purpose=purpose,
        file_name=name,
        file_path=f"{settings.upload_prefix}{purpose}/{uuid.uuid4()}{extension}",
        uploaded_by_id=user.pk,
        size=size,
        content_type=clean_type or "",
    )
    url: str | None
    headers = {"Content-Type": clean_type} if clean_type else {}
    multipart = None
    signing = presigner(file_storage())
    if signing is None:
        file.save()
        link = links.UploadLink(file_id=file.pk)
        url = links.upload_url(link, expires_seconds=expires_seconds, request=request)
    elif size is not None and size > settings.multipart_threshold_bytes:
        url, headers = None, {}
        multipart = start_parts(
            signing,
            file.file_path,
            size,
            wished_part_bytes=settings.multipart_part_bytes,
            content_type=clean_type,
            expires_seconds=expires_seconds,
        )
        file.upload_id = multipart.upload_id
        file.save()
    else:
        url = signing.put_url(file.file_path, expires_seconds=expires_seconds, size_bytes=size, content_type=clean_type)
        file.save()
    _logger.info("upload presigned", extra={"file_id": file.pk, "purpose": purpose, "in_parts": multipart is not None})
    return PresignedUpload(file=file, presigned_url=url, headers=headers, expires_at=expires_at, multipart=multipart)


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
    if announced_bytes > _limits_for(file).max_bytes:
        raise UploadError("too_large", _("The file is larger than is allowed."))
    if file.size is not None and announced_bytes != file.size:
        # As a storage does whose links have the size signed.
        raise UploadError("size_mismatch", _("The size is not the one that was announced."))
    with ExitStack() as stack:
        writer = stack.enter_context(file_storage().open_writer(file.file_path))
        for block in _exactly(stream, announced_bytes):
            writer.write(block)
        with transaction.atomic():
            # Until the new content has taken its place nobody confirms the old one.
            _check_open(FileModel.objects.select_for_update().get(pk=file_id))
            stack.close()
    _logger.info("upload received", extra={"file_id": file.pk, "size_bytes": announced_bytes})
    return file


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
        limits=_limits_for(file),
        file_name=file.file_name,
    )
    with transaction.atomic():
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


def _check_open(file: FileModel) -> None:
    if file.is_confirmed:
        raise UploadError(
            "already_confirmed", _("The file is confirmed and can no longer be replaced; start a new upload.")
        )


def _limits_for(file: FileModel) -> Limits:
    """The limits of a file that was presigned. Raises ConfirmationError where its purpose exists no more."""
    try:
        return limits_of(file.purpose, file_settings())
    except ValidationError as error:
        raise ConfirmationError("unknown_purpose", _("Files for this purpose are no longer taken.")) from error


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


def _check_waiting(user: AbstractBaseUser, limit: int | None) -> None:
    """Let a further upload pass. At the limit, uploads that were abandoned long ago make room."""
    if limit is None:
        return
    waiting = FileModel.objects.filter(uploaded_by_id=user.pk, is_confirmed=False)
    if waiting.count() < limit:
        return
    remove_unconfirmed(waiting.filter(created_at__lt=timezone.now() - _ABANDONED_AFTER))
    if waiting.count() >= limit:
        message = _("Too many uploads wait for their confirmation; confirm some first.")
        raise ValidationError(message, code="too_many_unconfirmed")


def remove_unconfirmed(files: QuerySet[FileModel]) -> int:
    """Remove those of the files that are not confirmed, with what has arrived of them; returns how many.

    A file whose object cannot be removed now stays. Repeating it is harmless.
    """
    storage = file_storage()
    signing = presigner(storage)
    count = 0
    for file in files.filter(is_confirmed=False):
        if file.upload_id and signing is not None:
            abort_parts(signing, file.file_path, file.upload_id)
        try:
            with transaction.atomic():
                locked = FileModel.objects.select_for_update().filter(pk=file.pk, is_confirmed=False).first()
                if locked is None:
                    continue
                locked.delete()
                storage.delete([file.file_path])
        except RowmillError as error:
            _logger.warning("unconfirmed upload not removed", extra={"file_id": file.pk, "reason": error.code})
            continue
        count += 1
    return count

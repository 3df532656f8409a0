"""A file to come is recorded, and gets the links for its upload."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.utils import timezone

from django_integration.conf import file_settings
from django_integration.files import links
from django_integration.files.direct import MultipartUpload, presigner, start_parts
from django_integration.files.limits import (
    MAX_UPLOAD_SECONDS,
    check_announced_size,
    clean_content_type,
    clean_file_name,
    limits_of,
)
from django_integration.files.models import FileModel
from django_integration.files.services.unconfirmed import check_waiting
from django_integration.files.storage import file_storage

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_logger = logging.getLogger(__name__)


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
    check_waiting(user, settings.max_unconfirmed_per_user)

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

"""A file of this machine, taken into the storage as if a user had uploaded and confirmed it."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from django_integration.conf import file_settings
from django_integration.files.content import HEAD_BYTES, why_refused
from django_integration.files.limits import clean_file_name, limits_of, too_large
from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage

#: Purpose of files that were not taken in for another one; no limits of the settings hold for it.
DEFAULT_PURPOSE = "shell_import"

_BLOCK_BYTES = 4 * 1024 * 1024


def take_in(path: Path, *, purpose: str | None, user: AbstractBaseUser | None) -> FileModel:
    """Copy a file into the storage, in bounded memory, and record it as confirmed. A repeat makes another one.

    Args:
        path: of a regular file.
        purpose: one of the settings, whose limits then hold; None for `DEFAULT_PURPOSE`, which has none.
        user: whose file it becomes; None for nobody's.

    Raises:
        OSError: the file cannot be read.
        ValidationError: the purpose, name, size or type is not allowed.
        RowmillError: the storage refuses it. Nothing has been recorded.
    """
    settings = file_settings()
    name, extension, max_bytes = path.name, path.suffix if path.suffix[1:].isalnum() else "", None
    if purpose is not None:
        limits = limits_of(purpose, settings)
        name, extension = clean_file_name(path.name, limits)
        max_bytes = limits.max_bytes
    storage = file_storage()
    key = f"{settings.upload_prefix}{purpose or DEFAULT_PURPOSE}/{uuid.uuid4()}{extension.lower()}"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        refusal = why_refused(head, path.name) if head else _("The file is empty.")
        if refusal:
            raise ValidationError({"path": refusal})
        file.seek(0)
        with storage.open_writer(key) as writer:
            while block := file.read(_BLOCK_BYTES):
                if max_bytes is not None and file.tell() > max_bytes:
                    raise ValidationError({"path": too_large(limits)})
                digest.update(block)
                writer.write(block)
    stored = storage.stat(key)
    values: dict[str, Any] = {"uploaded_by_id": user.pk} if user is not None else {}
    try:
        return FileModel.objects.create(
            purpose=purpose or DEFAULT_PURPOSE,
            file_name=name[:255],
            file_path=key,
            is_confirmed=True,
            confirmed_at=timezone.now(),
            size=stored.size_bytes,
            etag=stored.etag,
            checksum=digest.hexdigest(),
            **values,
        )
    except BaseException:
        storage.delete([key])
        raise

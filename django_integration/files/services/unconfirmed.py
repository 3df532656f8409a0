"""Uploads that wait for their confirmation: how many may, and their end."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from django_integration.conf import import_settings
from django_integration.files.direct import abort_parts, presigner
from django_integration.files.models import FileModel
from django_integration.files.storage import RowmillError, file_storage

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_logger = logging.getLogger(__name__)

#: An unconfirmed upload of this age makes room for new ones.
_ABANDONED_AFTER = timedelta(days=1)


def check_waiting(user: AbstractBaseUser, limit: int | None) -> None:
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
            with transaction.atomic(using=import_settings().database):
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

"""System checks: settings of the files app with which uploads cannot work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.connection import ConnectionDoesNotExist

from django_integration.conf import WrongSettingError, file_settings, storage_root
from django_integration.files.limits import (
    LIMIT_NAMES,
    MAX_PART_BYTES,
    MAX_SINGLE_PUT_BYTES,
    MAX_UPLOAD_SECONDS,
    MIN_PART_BYTES,
)
from django_integration.files.storage import RowmillError, file_storage


def check_settings(**_: Any) -> list[CheckMessage]:
    """Values that no storage takes. Contacts nobody."""
    try:
        return list(_wrong_settings())
    except WrongSettingError as error:
        return [Error(str(error), id="rowmill_files.E008")]


def check_storage(**_: Any) -> list[CheckMessage]:
    """An address that is none, or a folder that cannot be written. Contacts nobody and makes nothing."""
    try:
        root = storage_root()
        file_storage()
    except (WrongSettingError, ConnectionDoesNotExist):
        return []  # told by the checks of settings
    except ImproperlyConfigured as error:
        return [Error(str(error), id="rowmill_files.E001")]
    except RowmillError as error:
        return [Error(f"FILES_STORAGE_URL cannot be used: {error.message}", id="rowmill_files.E001")]
    if "://" in root:
        return []
    folder = Path(root)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return []
    hint = "Set FILES_STORAGE_URL (or MEDIA_ROOT) to a folder that this user may write, or to s3://bucket."
    return [Error(f"Uploads cannot be stored below {root}.", hint=hint, id="rowmill_files.E002")]


def check_storage_writable(**_: Any) -> list[CheckMessage]:
    """A storage that refuses an object, by putting and removing one; only with `check --deploy`."""
    try:
        file_storage().check_writable()
    except (ImproperlyConfigured, ConnectionDoesNotExist):
        return []  # told by the other checks
    except RowmillError as error:
        return [Error(f"Nothing can be stored: {error.message}", id="rowmill_files.E002")]
    return []


def _wrong_settings() -> Iterator[CheckMessage]:
    settings = file_settings()
    for purpose, limits in (settings.purposes or {}).items():
        if not isinstance(limits, Mapping):
            yield Error(
                f"FILES_PURPOSES[{purpose!r}] must be a dict of limits, not {limits!r}.", id="rowmill_files.E008"
            )
            continue
        unknown = sorted(set(limits) - LIMIT_NAMES)
        if unknown:
            yield Error(
                f"FILES_PURPOSES[{purpose!r}] names {', '.join(map(repr, unknown))}, which limits nothing.",
                hint=f"A purpose may name {', '.join(sorted(LIMIT_NAMES))}.",
                id="rowmill_files.E007",
            )
    if settings.upload_expires > MAX_UPLOAD_SECONDS:
        yield Warning(
            f"FILES_UPLOAD_EXPIRES is {settings.upload_expires}; links live {MAX_UPLOAD_SECONDS} seconds at most.",
            id="rowmill_files.W001",
        )
    if settings.upload_expires <= 0:
        yield Error("FILES_UPLOAD_EXPIRES must be above 0.", id="rowmill_files.E003")
    if not 0 < settings.multipart_threshold_bytes <= MAX_SINGLE_PUT_BYTES:
        yield Error(
            "FILES_MULTIPART_THRESHOLD_BYTES must be above 0 and at most 5 GiB, which is S3's limit of one PUT.",
            id="rowmill_files.E004",
        )
    if not MIN_PART_BYTES <= settings.multipart_part_bytes <= MAX_PART_BYTES:
        yield Error(
            "FILES_MULTIPART_PART_BYTES must be between 5 MiB and 5 GiB, the limits of S3.", id="rowmill_files.E005"
        )
    names = settings.upload_prefix.rstrip("/").split("/")
    if any(name in ("", ".", "..") for name in names) or "\0" in settings.upload_prefix:
        yield Error(
            f"FILES_UPLOAD_PREFIX {settings.upload_prefix!r} is not a relative path such as 'uploads/files/'.",
            id="rowmill_files.E006",
        )

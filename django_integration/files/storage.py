"""The bridge to `engine.storage`: where files are, their addresses, and links to them.

With `direct` the only module of this app that imports the engine; the others take what they need of it from here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.db import connections
from django.http import HttpRequest

from django_integration.conf import file_settings, import_settings, redis_url, storage_root
from django_integration.files import links
from django_integration.files.direct import presigner
from engine.config import EngineConfig
from engine.errors import ObjectMissingError, RowmillError, SourceChangedError
from engine.storage import ObjectInfo, Storage, open_storage

if TYPE_CHECKING:
    from django_integration.files.models import FileModel

#: Downloads are told to be bytes: no browser shows, runs or guesses them.
DOWNLOAD_CONTENT_TYPE = "application/octet-stream"

#: What an ASCII file name may hold in a header without any escaping.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()+-]")
#: Would end the header, or are read in other ways than they are written.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def engine_config() -> EngineConfig:
    """The engine's configuration as the settings say it now."""
    files, imports = file_settings(), import_settings()
    has_one_writer = connections[imports.database].vendor == "sqlite"
    return EngineConfig(
        redis_url=redis_url(),
        s3_endpoint_url=files.s3_endpoint_url,
        s3_region=files.s3_region,
        temp_dir=imports.temp_dir,
        enable_result_files=imports.enable_result_files,
        keep_failed_parts=True,  # refused rows are asked for by the page, and an Excel file cannot be entered midway
        escape_formulae=imports.escape_formulae,
        # A second chunk would only wait for the first.
        window=1 if has_one_writer else imports.window,
        max_rows=imports.max_rows_per_job,
        max_unpacked_bytes=imports.max_unpacked_bytes,
        max_unpacked_ratio=imports.max_unpacked_ratio,
        max_workbook_bytes=imports.max_workbook_bytes,
        max_archive_entries=imports.max_archive_entries,
        excel_formats=imports.excel_formats,
        excel_memory_bytes=imports.excel_memory_bytes,
        excel_timeout_seconds=imports.excel_timeout_seconds,
        parquet_memory_bytes=imports.parquet_memory_bytes,
        parquet_timeout_seconds=imports.parquet_timeout_seconds,
        lease_seconds=imports.lease_seconds,
        resend_after_seconds=imports.resend_after_seconds,
        recovery_interval_seconds=imports.recovery_interval_seconds,
    )


def file_storage() -> Storage:
    """The storage of uploaded and result files. Kept while the settings stay, with its connections."""
    return _open(storage_root(), engine_config())


def file_url(file: FileModel) -> str:
    """The address of the file's object, as the engine opens it; not a link for users."""
    return file_storage().url_of(file.file_path)


def download_link(key: str, file_name: str, expires_seconds: int, request: HttpRequest | None = None) -> str:
    """A link that lets whoever holds it save the object under `file_name`; made per authorised request, never logged.

    The answer is an attachment of plain bytes. Whether the object exists is not asked.

    Args:
        key: of the object in `file_storage()`.
        file_name: any text; it cannot break out of the header.
        expires_seconds: life of the link.
        request: tells our host, for the links of a local folder; without it they begin at the root (`/…`).

    Raises:
        RowmillError: there are no credentials to sign with.
    """
    signing = presigner(file_storage())
    if signing is None:
        link = links.DownloadLink(key=key, file_name=file_name)
        return links.download_url(link, expires_seconds=expires_seconds, request=request)
    return signing.get_url(
        key,
        expires_seconds=expires_seconds,
        content_disposition=attachment(file_name),
        content_type=DOWNLOAD_CONTENT_TYPE,
    )


def attachment(file_name: str) -> str:
    """A Content-Disposition that saves under this name (RFC 6266, RFC 5987); holds ASCII only, never a line end."""
    name = _CONTROLS.sub("", file_name).strip() or "file"
    plain = _NOT_PLAIN.sub("_", name)
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


@lru_cache(maxsize=8)
def _open(root: str, config: EngineConfig) -> Storage:
    return open_storage(root, config)


__all__ = [
    "DOWNLOAD_CONTENT_TYPE",
    "ObjectInfo",
    "ObjectMissingError",
    "RowmillError",
    "SourceChangedError",
    "Storage",
    "attachment",
    "download_link",
    "engine_config",
    "file_storage",
    "file_url",
]

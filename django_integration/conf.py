"""Every setting of the integration, typed, with its default; the only place that reads Django's settings.

    from django_integration.conf import import_settings, file_settings

Both are read when they are used, so `override_settings` works.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.functional import Promise

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSettings:
    """`IMPORT_…`: one setting a field, named as the field in capitals."""

    default_batch_size: int = 500
    """Rows between two updates of progress, where a request does not say."""
    default_chunk_size: int | None = None
    """Rows of a chunk, at most; None: the engine chooses, with SQLite 2,000."""
    progress_db_flush_every_n_batches: int = 5
    """Batches after which a worker writes the job's counts to the database."""
    temp_dir: str | None = None
    """Where result files are put together; None: the system's folder."""
    result_presign_expires: int = 3600
    """Seconds that a download link lives."""
    s3_prefix: str = "uploads/imports/"
    """What the keys of result files begin with, on any storage."""
    enable_result_files: bool = True
    """Whether success and failure files are made."""
    escape_formulae: bool = False
    """Whether cells of CSV results that a spreadsheet would run are marked with an apostrophe."""
    allowed_handlers: Sequence[str] = ()
    """Dotted paths that `options.handler_path` of a request may name, beside those a view names."""
    redis_url: str | None = None
    """Live counters; None: CELERY_BROKER_URL where that is a Redis, else redis://127.0.0.1:6379/0."""
    database: str = "default"
    """The alias whose transactions hold both the ledger and the handlers' writes."""
    window: int = 16
    """Chunks of one job in flight at most."""
    lease_seconds: float = 20.0
    """A chunk whose worker has been silent for this long is taken back."""
    resend_after_seconds: float = 15.0
    """A chunk that no worker picked up in this time is sent again."""
    recovery_interval_seconds: float = 10.0
    """Between two looks of a worker for lost jobs and chunks."""
    idle_transaction_seconds: int = 300
    """PostgreSQL: how long a row, or a call of a batch handler, may go without a statement; then it is run again."""
    max_running_jobs_per_user: int | None = 10
    """Queued and running jobs of one user; None: no limit."""
    max_file_bytes_per_job: int | None = None
    """Size of a source; None: no limit."""
    max_bytes_per_user_per_day: int | None = None
    """Sum of the sizes of the sources that one user starts within 24 hours; None: no limit."""
    max_rows_per_job: int | None = None
    """Rows of a source; a job with more fails once they are counted. None: no limit."""
    result_retention_days: float | None = None
    """Days after a job's end until `sweep_imports` removes its result files; its counts stay. None: never."""
    failed_parts_retention_days: float | None = None
    """Days until it removes the parts of a failed job, which cannot be resumed from then on. None: never."""
    max_unpacked_bytes: int = 64 * GIB
    """Bytes that a compressed source unpacks to."""
    max_unpacked_ratio: int = 100
    """Times its size that a compressed source or a part of a workbook unpacks to; small ones are let pass."""
    max_workbook_bytes: int = 2 * GIB
    """Bytes that all parts of a workbook unpack to."""
    max_archive_entries: int = 1000
    """Files in a ZIP archive, or parts of a workbook."""
    excel_formats: str = "xlsx,xlsm,xlsb,xls,ods"
    """Kinds of workbooks that are read, separated by commas; FILES_EXTENSIONS says which are taken in."""
    excel_memory_bytes: int = 2 * GIB
    """Bytes that the process that parses a workbook may take; a workbook that needs more is refused."""
    excel_timeout_seconds: float = 900.0
    """So long may it take."""
    parquet_memory_bytes: int = 2 * GIB
    """Bytes that the process that reads a Parquet file may take; a file that needs more is refused."""
    parquet_timeout_seconds: float = 3600.0
    """So long may it take."""
    monitoring_token: str | None = None
    """Who sends it as `Authorization: Bearer …` may read metrics and health, as staff may. None: staff alone."""
    preview_rows: int = 20
    """Rows that the preview of a source shows at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """`FILES_…`: one setting a field, named as the field in capitals."""

    storage_url: str | None = None
    """`s3://bucket[/prefix]` or a folder; None: MEDIA_ROOT."""
    s3_endpoint_url: str | None = None
    """None: Amazon's, or what boto3 finds in its own configuration."""
    s3_region: str = "us-east-1"
    purposes: Mapping[str, Mapping[str, Any]] | None = None
    """Purpose → limits (`max_bytes`, `extensions`, `content_types`), each optional. None: any purpose."""
    max_bytes: int = 5 * 1024 * GIB
    """Size of a file where its purpose names none; S3 holds no more."""
    extensions: Sequence[str] = (
        ".csv", ".tsv", ".txt", ".csv.gz", ".csv.zst", ".zip", ".ndjson", ".jsonl", ".parquet",
        ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods",
    )  # fmt: skip
    """Endings of file names where the purpose names none."""
    content_types: Sequence[str] | None = None
    """Content types where the purpose names none; None: any."""
    upload_expires: int = 900
    """Seconds that an upload link lives; at most 900."""
    upload_prefix: str = "uploads/files/"
    """What the keys of uploaded files begin with."""
    multipart_threshold_bytes: int = 1 * GIB
    """An upload announced as larger gets the links of a multipart upload; at most 5 GiB, S3's limit of one PUT."""
    multipart_part_bytes: int = 64 * MIB
    """Size of its parts, but the last; larger where 10,000 parts would not do."""
    unconfirmed_retention_days: float | None = 1.0
    """Days until `sweep_imports` removes an upload that was not confirmed, with what has arrived of it. None: never."""
    max_unconfirmed_per_user: int | None = 100
    """Uploads of one user that wait for their confirmation; None: no limit."""


Settings = TypeVar("Settings", ImportSettings, FileSettings)


class WrongSettingError(ImproperlyConfigured):
    """A setting is of a type that it cannot be of, as those are that come from the environment as text."""


def _read(kind: type[Settings], prefix: str) -> Settings:
    given: dict[str, Any] = {}
    types = get_type_hints(kind)
    for each in fields(kind):
        name = prefix + each.name.upper()
        if hasattr(settings, name):
            value = getattr(settings, name)
            given[each.name] = _as_meant(value, types[each.name])
            _check_type(name, given[each.name], types[each.name])
    return kind(**given)


def _as_meant(value: Any, annotation: Any) -> Any:
    """A text of a path, as folders are in most projects, and of a lazy one; a whole number of `0.5 * 1024**3`."""
    if isinstance(value, os.PathLike | Promise):
        return str(value)
    is_whole = isinstance(value, float) and value.is_integer() and int in (annotation, *get_args(annotation))
    return int(value) if is_whole else value


def _is_number(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _is_of_texts(value: Any) -> bool:
    return isinstance(value, Sequence | Set) and not isinstance(value, str | bytes) and all(map(_is_text, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


#: Type of a setting → what it has to be, and whether a value is that.
_FORMS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: _is_number(value, int)),
    float: ("a number", lambda value: _is_number(value, int, float)),
    str: ("a text", _is_text),
    Sequence: ("a list of texts", _is_of_texts),
    Mapping: ("a dict", lambda value: isinstance(value, Mapping)),
}


def _check_type(name: str, value: Any, annotation: Any) -> None:
    kinds = [get_origin(each) or each for each in (annotation, *get_args(annotation))]
    if value is None and type(None) in kinds:
        return
    wanted, holds = next(_FORMS[kind] for kind in kinds if kind in _FORMS)
    if not holds(value):
        or_none = " or None" if type(None) in kinds else ""
        # What should be a text may be a secret.
        found = type(value).__name__ if wanted == "a text" else repr(value)
        raise WrongSettingError(f"{name} must be {wanted}{or_none}, not {found}.")


@cache
def import_settings() -> ImportSettings:
    """The `IMPORT_…` settings as they are now."""
    return _read(ImportSettings, "IMPORT_")


@cache
def file_settings() -> FileSettings:
    """The `FILES_…` settings as they are now."""
    return _read(FileSettings, "FILES_")


def storage_root() -> str:
    """Where uploaded and result files are: `s3://bucket[/prefix]` or an absolute folder.

    Raises:
        ImproperlyConfigured: neither FILES_STORAGE_URL nor MEDIA_ROOT says so.
    """
    url = file_settings().storage_url or str(settings.MEDIA_ROOT or "")
    if not url:
        raise ImproperlyConfigured("Set FILES_STORAGE_URL to s3://bucket or a folder, or set MEDIA_ROOT.")
    return url if "://" in url else str(Path(url).absolute())


def redis_url() -> str:
    """The Redis of the live counters."""
    chosen = import_settings().redis_url
    broker = getattr(settings, "CELERY_BROKER_URL", None) or ""
    if chosen:
        return chosen
    return broker if broker.startswith(("redis://", "rediss://", "redis+socket://")) else "redis://127.0.0.1:6379/0"


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(("IMPORT_", "FILES_", "MEDIA_ROOT", "CELERY_BROKER_URL")):
        import_settings.cache_clear()
        file_settings.cache_clear()


setting_changed.connect(_forget)

__all__ = [
    "FileSettings",
    "ImportSettings",
    "WrongSettingError",
    "file_settings",
    "import_settings",
    "redis_url",
    "storage_root",
]

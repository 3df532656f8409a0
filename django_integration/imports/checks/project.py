"""What the project itself says: its views, addresses and settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from django_integration.conf import FileSettings, ImportSettings, import_settings
from django_integration.files.storage import engine_config
from django_integration.imports.checks.carrying_out import TAG, never_raising
from engine.errors import HandlerError, OptionError
from engine.handlers import resolve_handler
from engine.options import ImportOptions

#: How much of a name has to be that of another.
_NEARLY = 0.8


@register(TAG)
@never_raising
def check_views() -> Iterator[CheckMessage]:
    """Handlers that views name."""
    from django_integration.imports.api.mixins import AsyncImportProgressMixin

    for view in _views_below(AsyncImportProgressMixin):
        name = f"{view.__module__}.{view.__qualname__}"
        handler: str | None = view.import_row_handler
        batch_handler: str | None = view.import_batch_handler
        is_dynamic = (
            view.get_import_handler_path is not AsyncImportProgressMixin.get_import_handler_path
            or view.get_import_batch_handler_path is not AsyncImportProgressMixin.get_import_batch_handler_path
        )
        if handler is None and batch_handler is None and not is_dynamic:
            yield Error(
                f"{name} imports files but names no handler.",
                hint="Set import_row_handler or import_batch_handler, or override get_import_handler_path().",
                obj=view,
                id="rowmill.E002",
            )
        if handler is not None and batch_handler is not None:
            yield Error(
                f"{name} names a row handler and a batch handler; its imports would never use the row handler.",
                hint="Remove import_row_handler or import_batch_handler.",
                obj=view,
                id="rowmill.E002",
            )
        for path in (*(p for p in (handler, batch_handler) if p is not None), *view.import_row_handlers):
            yield from _unresolvable(path, f"{name}: ", "rowmill.E001", obj=view)
        for action in _shadowing(view):
            yield Warning(
                f"{name}.{action} has the url_path of import_; a router reaches the first of both by name alone.",
                hint="Give one of them another url_path, or remove the view's own.",
                obj=view,
                id="rowmill.W036",
            )


@register(TAG)
@never_raising
def check_addresses() -> Iterator[CheckMessage]:
    """What a client needs besides the view: upload, and status."""
    from django_integration.files.api.views import PresignView
    from django_integration.imports.api.mixins import AsyncImportProgressMixin
    from django_integration.imports.api.views import ImportStatusView

    if not _views_below(AsyncImportProgressMixin):
        return
    for kind, purpose, module, place in (
        (PresignView, "files are uploaded", "django_integration.files.api.urls", "api/files/"),
        (ImportStatusView, "a client asks for the status of an import", "django_integration.imports.api.urls", "api/"),
    ):
        if not _views_below(kind):
            yield Warning(
                f"Views import files, but the URLconf has no address where {purpose}.",
                hint=f'path("{place}", include("{module}"))',
                id="rowmill.W035",
            )


@register(TAG)
@never_raising
def check_settings() -> Iterator[CheckMessage]:
    """`IMPORT_…` settings."""
    known = import_settings()
    for path in known.allowed_handlers:
        yield from _unresolvable(path, "IMPORT_ALLOWED_HANDLERS: ", "rowmill.E003")
    try:
        config = engine_config()
        ImportOptions.from_mapping({"batch_size": known.default_batch_size, "chunk_size": known.default_chunk_size})
    except OptionError as error:
        yield Error(f"The IMPORT_… settings are not consistent: {error.message}", id="rowmill.E004")
    else:
        # A row that ends within the time must have been asked for a sign of life before.
        if known.idle_transaction_seconds < 2 * config.heartbeat_interval_seconds:
            yield Error(
                f"IMPORT_IDLE_TRANSACTION_SECONDS is {known.idle_transaction_seconds}: it must be at least "
                f"{2 * config.heartbeat_interval_seconds:g}, or IMPORT_LEASE_SECONDS be less.",
                id="rowmill.E004",
            )
    if not isinstance(known.s3_prefix, str) or any(name in (".", "..") for name in known.s3_prefix.split("/")):
        yield Error("IMPORT_S3_PREFIX must be a path such as 'uploads/imports/'.", id="rowmill.E004")
    if known.temp_dir is not None and not os.access(known.temp_dir, os.W_OK | os.X_OK):
        yield Error(
            f"IMPORT_TEMP_DIR is {known.temp_dir!r}, where nothing can be written.",
            hint="Make that folder, on every machine with a web server or worker, or leave the setting out.",
            id="rowmill.E004",
        )
    for setting in ("result_retention_days", "failed_parts_retention_days"):
        value = getattr(known, setting)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            yield Error(
                f"IMPORT_{setting.upper()} must be a number of days above 0, or None, not {value!r}.", id="rowmill.E004"
            )
    for setting in ("progress_db_flush_every_n_batches", "result_presign_expires", "idle_transaction_seconds"):
        value = getattr(known, setting)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Error(f"IMPORT_{setting.upper()} must be a whole number above 0, not {value!r}.", id="rowmill.E004")


@register(TAG)
@never_raising
def check_names() -> Iterator[CheckMessage]:
    """Settings whose names are nearly those of ours, and which change nothing."""
    for prefix, kind in (("IMPORT_", ImportSettings), ("FILES_", FileSettings)):
        known = [prefix + each.name.upper() for each in fields(kind)]
        for name in dir(settings):
            meant = get_close_matches(name, known, n=1, cutoff=_NEARLY) if name.startswith(prefix) else []
            if meant and name not in known:
                yield Warning(
                    f"There is no setting {name}.",
                    hint=f"Is {meant[0]} meant? If it is the project's own, silence this check.",
                    id="rowmill.W037",
                )


def _views_below(kind: type) -> list[Any]:
    """View classes of the URLconf that are of a kind, each once, in the order of their addresses."""
    from django.urls import get_resolver

    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    found: dict[Any, None] = {}

    def walk(patterns: Any) -> None:
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns)
                continue
            callback = getattr(pattern, "callback", None)
            # DRF's viewsets keep their class as `cls`, Django's views as `view_class`.
            view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
            if isinstance(view, type) and issubclass(view, kind):
                found[view] = None

    try:
        walk(get_resolver().url_patterns)
    except Exception:  # noqa: BLE001 - an URLconf that does not load is told by Django's own check
        return []
    return list(found)


def _shadowing(view: Any) -> list[str]:
    """Names of a viewset's actions that share the address of the one that starts imports."""
    actions = view.get_extra_actions() if hasattr(view, "get_extra_actions") else []
    ours = [each for each in actions if each.__name__ == "import_"]
    return [
        each.__name__
        for each in actions
        if ours and each not in ours and (each.detail, each.url_path) == (ours[0].detail, ours[0].url_path)
    ]


def _unresolvable(path: Any, where: str, check_id: str, obj: Any = None) -> Iterator[CheckMessage]:
    if not isinstance(path, str):
        yield Error(f"{where}a handler is named by a dotted path, not by {path!r}.", obj=obj, id=check_id)
        return
    try:
        resolve_handler(path)
    except HandlerError as error:
        yield Error(f"{where}{error.message}", obj=obj, id=check_id)

"""What a team adds to its viewset: one action to start imports, one to cancel them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import NoReverseMatch
from django.utils.translation import gettext as translate
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_integration.addresses import address_of
from django_integration.files.api.body import body_of
from django_integration.imports import refusals, services
from django_integration.imports.api.serializers import (
    ErrorSerializer,
    StartedSerializer,
    StartImportSerializer,
    StatusSerializer,
)
from django_integration.imports.models import ImportJob

#: Seconds that a client is asked to wait before it looks at the status for the first time.
RETRY_AFTER_SECONDS = 1


class AsyncImportProgressMixin:
    """Adds `POST …/import/` to a viewset: starts an import of a confirmed file and answers at once."""

    import_row_handler: str | None = None
    """Dotted path of the handler that each row is given to."""
    import_batch_handler: str | None = None
    """In its place: dotted path of a handler that takes batches of rows as polars frames."""
    import_row_handlers: Sequence[str] = ()
    """Further handlers that `options.handler_path` of a request may choose."""
    import_file_purposes: Sequence[str] | None = None
    """Purposes of the files that this view imports; None for any."""

    @extend_schema(
        request=StartImportSerializer,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="A repeat of the request under the same key starts nothing new and gives the first job.",
            )
        ],
        responses={
            202: OpenApiResponse(StartedSerializer, description="The job is queued."),
            400: OpenApiResponse(description="The file or an option is not acceptable; the fields are named."),
            401: ErrorSerializer,
            403: ErrorSerializer,
            409: OpenApiResponse(ErrorSerializer, description="The Idempotency-Key came with another request before."),
            413: ErrorSerializer,
            415: ErrorSerializer,
        },
    )
    @action(detail=False, methods=["post"], url_path="import", url_name="import")
    def import_(self, request: Request, **_: Any) -> Response:
        """Start an import of an uploaded and confirmed file.

        Every row is given to the view's handler; ask the status endpoint for progress and results.
        """
        serializer = self.get_import_serializer(data=body_of(request))
        serializer.is_valid(raise_exception=True)
        job = self.perform_import(serializer.validated_data)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        # The job is started, whether or not the project's addresses can be told from this one.
        with contextlib.suppress(NoReverseMatch):
            headers["Location"] = address_of("import-detail", {"pk": job.pk}, request)
        return Response(StartedSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)

    # What a view may override

    def get_import_serializer(self, *args: Any, **kwargs: Any) -> StartImportSerializer:
        """The serializer of the request's body."""
        return StartImportSerializer(*args, **kwargs)

    def get_import_handler_path(self) -> str:
        """The handler for this request, by default `import_row_handler`."""
        path = self.import_row_handler
        assert path is not None, (
            f"{type(self).__name__} must set import_row_handler or import_batch_handler, "
            "or override get_import_handler_path()."
        )
        return path

    def get_import_batch_handler_path(self) -> str | None:
        """The batch handler for this request, by default `import_batch_handler`; None for a row handler."""
        return self.import_batch_handler

    def get_import_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options of this request, by default those it came with."""
        return options

    def get_import_file_purposes(self) -> Sequence[str] | None:
        """The purposes of files for this request, by default `import_file_purposes`."""
        return self.import_file_purposes

    def perform_import(self, data: Mapping[str, Any]) -> ImportJob:
        """Write the job for a checked body. Raises DRF's exceptions."""
        request: Request = self.request  # type: ignore[attr-defined]
        if not request.user.is_authenticated:
            raise NotAuthenticated
        batch_handler = self.get_import_batch_handler_path()
        try:
            job, _created = services.start(
                services.StartRequest(
                    user=request.user,
                    file_id=data["file_id"],
                    options=self.get_import_options(data.get("options", {})),
                    handler_path=batch_handler or self.get_import_handler_path(),
                    handler_mode="batch" if batch_handler else "row",
                    view_handlers=self.import_row_handlers,
                    purposes=self.get_import_file_purposes(),
                    idempotency_key=_idempotency_key(request),
                )
            )
        except refusals.RequestRefusedError as error:
            detail: Any = [error.message]
            raise ValidationError(
                {error.field: {error.option: detail} if error.option else detail}, code=error.code
            ) from error
        except refusals.IdempotencyConflictError as error:
            raise ConflictError(translate("This Idempotency-Key was used for another request.")) from error
        return job


class AsyncImportCancelMixin:
    """Adds `POST …/import/{job_id}/cancel/` to a viewset, beside `POST /api/imports/{job_id}/cancel/`."""

    @extend_schema(
        request=None,
        responses={200: StatusSerializer, 401: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    @action(
        detail=False,
        methods=["post"],
        url_path=r"import/(?P<job_id>[^/]+)/cancel",
        url_name="import-cancel",
    )
    def cancel_import(self, request: Request, job_id: str, **_: Any) -> Response:
        """Cancel an import; what was done by then gets its result files. Repeating it is harmless."""
        job = services.cancel(services.visible_job(request.user, job_id))
        return Response(StatusSerializer(job, context={"request": request}).data)


class ConflictError(ValidationError):
    """409: the request contradicts an earlier one."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.detail = {"detail": message}  # type: ignore[dict-item]


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isprintable()):
        raise ValidationError({"Idempotency-Key": [translate("It must have 1 to 255 printable characters.")]})
    return key

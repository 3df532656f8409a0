"""Status, list, detail, cancel, row errors and preview: one's own jobs, everybody's by permission."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as translate
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import engine
from django_integration.addresses import address_of
from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import engine_config, file_url
from django_integration.imports import refusals, retries, services
from django_integration.imports.api.mixins import ConflictError
from django_integration.imports.api.serializers import (
    ErrorSerializer,
    JobDetailSerializer,
    JobSerializer,
    PreviewSerializer,
    RowErrorPageSerializer,
    StartedSerializer,
    StatusSerializer,
)
from django_integration.imports.models import ImportJob
from django_integration.imports.result_records import told_to_users
from django_integration.imports.row_errors import row_errors
from engine.errors import RowmillError

_DENIED = {401: ErrorSerializer, 403: ErrorSerializer}
_NOT_FOUND = {**_DENIED, 404: ErrorSerializer}
_CONFLICT = OpenApiResponse(ErrorSerializer, description="The state of the import does not allow it.")
#: Refused rows in one answer, at most.
_MAX_ROW_ERRORS = 1_000


class ImportStatusView(APIView):
    """`GET /api/import/status/?task_id=`."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="import_status",
        parameters=[
            OpenApiParameter("task_id", str, required=True, description="The import job's id, or its Celery task's.")
        ],
        responses={200: StatusSerializer, 400: OpenApiResponse(description="task_id is missing."), **_NOT_FOUND},
    )
    def get(self, request: Request, **_: Any) -> Response:
        """How far an import is, its counts, and when it has ended the links of its result files."""
        task_id = request.query_params.get("task_id", "")
        if not task_id:
            raise ValidationError({"task_id": [translate("This query parameter is required.")]})
        task_id = task_id[:255].replace("\0", "")
        body = services.running_status(request.user, task_id)
        if body is not None:
            return Response(body)
        wanted = Q(celery_task_id=task_id)
        with contextlib.suppress(ValueError):
            wanted |= Q(pk=uuid.UUID(task_id))
        job = get_object_or_404(services.visible_jobs(request.user), wanted)
        data = StatusSerializer(job, context={"request": request}).data
        services.keep_status(job, data)
        return Response(data)


class JobPagination(LimitOffsetPagination):
    """Jobs by limit and offset."""

    default_limit = 20
    max_limit = 100


@extend_schema_view(
    list=extend_schema(summary="One's own import jobs, the newest first", responses={200: JobSerializer, **_DENIED}),
    retrieve=extend_schema(summary="An import job in full", responses={200: JobDetailSerializer, **_NOT_FOUND}),
)
class ImportJobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ImportJob]):
    """Import jobs: one's own, or everybody's by permission; those of others answer 404."""

    permission_classes = (IsAuthenticated,)
    serializer_class = JobSerializer
    pagination_class = JobPagination
    # Anything, so that what is no id gets the API's own 404 and not the site's page.
    lookup_value_regex = "[^/]+"
    queryset = ImportJob.objects.none()

    def get_serializer_class(self) -> type[JobSerializer]:
        """A list leaves out what costs a query per job."""
        return JobDetailSerializer if self.action == "retrieve" else JobSerializer

    def get_queryset(self) -> QuerySet[ImportJob]:
        """The jobs that the user may see."""
        return services.visible_jobs(self.request.user)

    def get_object(self) -> ImportJob:
        """The job of the address. Raises Http404 for what is no id, as for the id of nothing."""
        return services.visible_job(self.request.user, self.kwargs["pk"])

    @extend_schema(request=None, responses={200: StatusSerializer, **_NOT_FOUND})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel an import; what was done by then gets its result files. Repeating it is harmless."""
        return self._status_of(services.cancel(self.get_object()))

    @extend_schema(request=None, responses={200: StatusSerializer, 409: _CONFLICT, **_NOT_FOUND})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **_: Any) -> Response:
        """Have no further chunk of an import begin until it is resumed. Repeating it is harmless."""
        try:
            return self._status_of(services.pause(self.get_object()))
        except refusals.JobStateError as error:
            raise ConflictError(str(error)) from error

    @extend_schema(
        request=None,
        responses={
            200: StatusSerializer,
            400: OpenApiResponse(description="A quota is used up."),
            409: _CONFLICT,
            **_NOT_FOUND,
        },
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Let a paused import go on, and a failed one from where it stopped. Repeating it is harmless."""
        try:
            return self._status_of(services.resume(self.get_object()))
        except refusals.JobStateError as error:
            raise ConflictError(str(error)) from error
        except refusals.RequestRefusedError as error:
            raise ValidationError({error.field: [error.message]}, code=error.code) from error

    @extend_schema(
        request=None,
        responses={
            202: OpenApiResponse(StartedSerializer, description="The job of the refused rows is queued."),
            400: OpenApiResponse(description="A quota is used up."),
            409: _CONFLICT,
            **_NOT_FOUND,
        },
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **_: Any) -> Response:
        """Import the refused rows of an ended import again. While that runs, a repeat gives the same job."""
        try:
            job = retries.retry(self.get_object())
        except refusals.JobStateError as error:
            raise ConflictError(str(error)) from error
        except refusals.RequestRefusedError as error:
            raise ValidationError({error.field: [error.message]}, code=error.code) from error
        location = address_of("import-detail", {"pk": job.pk}, request)
        return Response(StartedSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers={"Location": location})

    def _status_of(self, job: ImportJob) -> Response:
        return Response(StatusSerializer(job, context={"request": self.request}).data)

    @extend_schema(
        parameters=[
            OpenApiParameter("limit", OpenApiTypes.INT, description="Rows in the answer, 1 to 1,000; 100 by default."),
            OpenApiParameter("offset", OpenApiTypes.INT, description="Refused rows to leave out."),
        ],
        responses={
            200: RowErrorPageSerializer,
            400: OpenApiResponse(description="limit or offset is out of range."),
            **_NOT_FOUND,
        },
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def errors(self, request: Request, **_: Any) -> Response:
        """A page of the refused rows, as far as their chunks are through."""
        job = self.get_object()
        limit = _integer(request, "limit", 100, 1, _MAX_ROW_ERRORS)
        offset = _integer(request, "offset", 0, 0, 2**53)
        found = row_errors(job, offset, limit)
        count = services.committed_failures(job)
        following = offset + len(found)
        page = {"count": count, "next_offset": following if found and following < count else None, "results": found}
        return Response(RowErrorPageSerializer(page).data)


#: Import options that a preview takes as its query has them.
_DIALECT_OPTIONS = ("delimiter", "quote_char", "escape_char", "encoding", "decimal")


class PreviewView(APIView):
    """`GET /api/imports/preview/?file_id=`."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="import_preview",
        parameters=[
            OpenApiParameter("file_id", OpenApiTypes.INT, required=True),
            OpenApiParameter("header_rows", OpenApiTypes.INT, description="Header rows, 0 to 1,000; 1 by default."),
            OpenApiParameter(
                "skip_rows", OpenApiTypes.INT, description="Lines above the header; found where not given."
            ),
            *(
                OpenApiParameter(name, OpenApiTypes.STR, description="As the import option; found where not given.")
                for name in _DIALECT_OPTIONS
            ),
        ],
        responses={
            200: PreviewSerializer,
            400: OpenApiResponse(description="The file cannot be read as a table; the reason is given."),
            **_NOT_FOUND,
        },
    )
    def get(self, request: Request, **_: Any) -> Response:
        """The columns and first rows of a confirmed file, read as an import would read them."""
        file_id = _integer(request, "file_id", None, 1, 2**63 - 1)
        options: dict[str, Any] = {"header_rows": _integer(request, "header_rows", 1, 0, 1_000)}
        if "skip_rows" in request.query_params:
            options["skip_rows"] = _integer(request, "skip_rows", None, 0, 1_000_000)
        options |= {name: request.query_params[name] for name in _DIALECT_OPTIONS if name in request.query_params}
        files = FileModel.objects.filter(is_confirmed=True)
        if not services.may_manage(request.user):
            files = files.filter(uploaded_by_id=request.user.pk)
        file = get_object_or_404(files, pk=file_id)
        try:
            shown = engine.preview(
                file_url(file), rows=import_settings().preview_rows, config=engine_config(), **options
            )
        except RowmillError as error:
            name = error.facts.get("option", "file_id")
            raise ValidationError({name: [told_to_users(file, error.message)]}, code=error.code) from error
        return Response(PreviewSerializer({"file_id": file.pk, **shown.to_dict()}).data)


def _integer(request: Request, name: str, default: int | None, low: int, high: int) -> int:
    text: Any = request.query_params.get(name, default)
    try:
        number = int(text)
    except (TypeError, ValueError):
        number = low - 1
    if not low <= number <= high:
        raise ValidationError(
            {name: [translate("It must be a whole number from %(low)d to %(high)d.") % {"low": low, "high": high}]}
        )
    return number

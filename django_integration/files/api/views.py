"""Endpoints of the files app: they translate, `services` works."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_integration.files import links, services
from django_integration.files.api.body import body_of
from django_integration.files.api.permissions import HasSignedLink
from django_integration.files.api.serializers import (
    ConfirmRequestSerializer,
    ConfirmResponseSerializer,
    DetailSerializer,
    FileDetailSerializer,
    FileSerializer,
    PresignedUploadSerializer,
    PresignRequestSerializer,
)
from django_integration.files.errors import FileRefusedError
from django_integration.files.models import FileModel
from django_integration.files.storage import (
    DOWNLOAD_CONTENT_TYPE,
    ObjectMissingError,
    RowmillError,
    attachment,
    file_storage,
)

_logger = logging.getLogger(__name__)

#: Of a download, held in memory a few times.
_BLOCK_BYTES = 1024 * 1024

#: Why an upload is refused → HTTP; anything else is a 400.
_UPLOAD_STATUSES = {
    "not_found": status.HTTP_404_NOT_FOUND,
    "already_confirmed": status.HTTP_409_CONFLICT,
    "too_large": status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
}

_INVALID = OpenApiResponse(
    OpenApiTypes.OBJECT, description="Field names to lists of messages; `non_field_errors` or `detail` for the rest."
)
_UNAUTHENTICATED = OpenApiResponse(DetailSerializer, description="No or wrong credentials.")
_FORBIDDEN = OpenApiResponse(DetailSerializer, description="Not allowed, or a session without its CSRF token.")
_NOT_FOUND = OpenApiResponse(DetailSerializer, description="The user has no such file.")
_BAD_LINK = OpenApiResponse(DetailSerializer, description="The link is expired, changed, or none of ours.")
_STORAGE_FAILED = OpenApiResponse(DetailSerializer, description="The storage cannot be asked at the moment.")
_UNSUPPORTED = OpenApiResponse(DetailSerializer, description="The body is of a type that is not read here.")
_TOO_LARGE = OpenApiResponse(DetailSerializer, description="The body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE.")
_ALWAYS = {401: _UNAUTHENTICATED, 403: _FORBIDDEN}


class StorageFailedError(exceptions.APIException):
    """The storage does not answer or refuses; what it said is logged, not told."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The storage cannot be asked at the moment; try again later.")
    default_code = "storage_unavailable"


class FilePagination(PageNumberPagination):
    """Pages of files, whatever the project's own default is."""

    page_size = 50


class PresignView(APIView):
    """Announce a file, and get a link for its upload."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="files_presign",
        request=PresignRequestSerializer,
        responses={
            201: PresignedUploadSerializer,
            400: _INVALID,
            **_ALWAYS,
            413: _TOO_LARGE,
            415: _UNSUPPORTED,
            503: _STORAGE_FAILED,
        },
        tags=["files"],
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        """Announce a file, and get a short-lived link that takes its bytes by a plain `PUT`."""
        given = PresignRequestSerializer(data=body_of(request))
        given.is_valid(raise_exception=True)
        try:
            upload = services.presign(_user(request), **given.validated_data, request=request._request)
        except ValidationError as error:
            raise serializers.ValidationError(serializers.as_serializer_error(error)) from error
        except RowmillError as error:
            _fail(error)
        return Response(PresignedUploadSerializer(upload).data, status=status.HTTP_201_CREATED)


class ConfirmView(APIView):
    """Have uploads verified."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="files_confirm",
        request=ConfirmRequestSerializer,
        responses={200: ConfirmResponseSerializer, 400: _INVALID, **_ALWAYS, 413: _TOO_LARGE, 415: _UNSUPPORTED},
        tags=["files"],
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        """Have existence, size, SHA-256 and type of uploaded files verified; every file gets an answer of its own."""
        given = ConfirmRequestSerializer(data=body_of(request))
        given.is_valid(raise_exception=True)
        confirmations = services.confirm(_user(request), given.entries())
        return Response(ConfirmResponseSerializer({"files": confirmations}).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="files_list",
        responses={200: FileSerializer(many=True), **_ALWAYS, 404: _NOT_FOUND},
        tags=["files"],
    )
)
class FileListView(ListAPIView[FileModel]):
    """One's own files, the newest first."""

    permission_classes = (IsAuthenticated,)
    serializer_class = FileSerializer
    pagination_class = FilePagination
    queryset = FileModel.objects.none()

    def get_queryset(self) -> QuerySet[FileModel]:
        """Those that the user may know of."""
        return services.visible_files(self.request.user)


@extend_schema_view(
    get=extend_schema(
        operation_id="files_retrieve",
        responses={200: FileDetailSerializer, **_ALWAYS, 404: _NOT_FOUND, 503: _STORAGE_FAILED},
        tags=["files"],
    )
)
class FileDetailView(RetrieveAPIView[FileModel]):
    """One file, with a fresh download link once it is confirmed."""

    permission_classes = (IsAuthenticated,)
    serializer_class = FileDetailSerializer
    queryset = FileModel.objects.none()

    def get_queryset(self) -> QuerySet[FileModel]:
        """Those that the user may know of."""
        return services.visible_files(self.request.user)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """As DRF's, where the link can be signed."""
        try:
            response = super().retrieve(request, *args, **kwargs)
        except RowmillError as error:
            _fail(error)
        # It holds a link, which is a right.
        response["Cache-Control"] = "private, no-store"
        return response


class UploadView(APIView):
    """Takes uploads where the storage has no links of its own: a local folder."""

    authentication_classes = ()
    permission_classes = (HasSignedLink,)
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    read_link = staticmethod(links.read_upload)
    link: links.UploadLink

    @extend_schema(
        operation_id="files_upload",
        request={"*/*": OpenApiTypes.BINARY},
        responses={
            200: None,
            400: OpenApiResponse(DetailSerializer, description="The body broke off, or is not of the announced size."),
            403: _BAD_LINK,
            404: OpenApiResponse(DetailSerializer, description="The file is gone."),
            409: OpenApiResponse(DetailSerializer, description="The file is confirmed and can no longer be replaced."),
            411: OpenApiResponse(DetailSerializer, description="There is no Content-Length."),
            413: OpenApiResponse(DetailSerializer, description="The file is larger than is allowed."),
            503: _STORAGE_FAILED,
        },
        auth=[],
        tags=["files"],
    )
    def put(self, request: Request, **kwargs: Any) -> Response:
        """Take the bytes of one file. The address is what `POST /api/files/presign/` gave; it needs no login."""
        length = request.META.get("CONTENT_LENGTH") or ""
        if not length.isdecimal():
            return Response(
                {"detail": _("Send the size of the file as Content-Length.")}, status=status.HTTP_411_LENGTH_REQUIRED
            )
        try:
            services.receive(self.link.file_id, request._request, int(length))
        except FileRefusedError as error:
            code = _UPLOAD_STATUSES.get(error.code, status.HTTP_400_BAD_REQUEST)
            return Response({"detail": error.message}, status=code)
        except RowmillError as error:
            _fail(error)
        return Response(status=status.HTTP_200_OK)


class DownloadView(APIView):
    """Gives files out where the storage has no links of its own: a local folder."""

    authentication_classes = ()
    permission_classes = (HasSignedLink,)
    renderer_classes = (JSONRenderer,)
    read_link = staticmethod(links.read_download)
    link: links.DownloadLink

    @extend_schema(
        operation_id="files_download",
        responses={
            (200, DOWNLOAD_CONTENT_TYPE): OpenApiTypes.BINARY,
            403: _BAD_LINK,
            404: OpenApiResponse(DetailSerializer, description="The file is gone."),
            503: _STORAGE_FAILED,
        },
        auth=[],
        tags=["files"],
    )
    def get(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """Give the bytes of one file as an attachment. The address is a download link; it needs no login."""
        storage = file_storage()
        try:
            found = storage.stat(self.link.key)
        except ObjectMissingError as error:
            raise exceptions.NotFound from error
        except RowmillError as error:
            _fail(error)
        blocks = storage.read_blocks(found.key, 0, found.size_bytes, block_bytes=_BLOCK_BYTES, etag=found.etag)
        # Under ASGI Django would gather an ordinary iterator in memory first.
        is_async = isinstance(request._request, ASGIRequest)
        return StreamingHttpResponse(
            _async_blocks(blocks) if is_async else blocks,
            content_type=DOWNLOAD_CONTENT_TYPE,
            headers={
                "Content-Length": str(found.size_bytes),
                "Content-Disposition": attachment(self.link.file_name),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "Cache-Control": "private, no-store",
            },
        )


async def _async_blocks(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = sync_to_async(lambda: next(blocks, b""))
    while block := await following():
        yield block


def _user(request: Request) -> Any:
    return request.user


def _fail(error: RowmillError) -> NoReturn:
    _logger.error("storage failed", extra={"reason": error.code}, exc_info=error)
    raise StorageFailedError from error

"""The HTTP rim: shapes of requests and answers. Rules are in `services` and `limits`."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from django_integration.conf import import_settings
from django_integration.files.errors import CONFIRMATION_CODES, ConfirmationError
from django_integration.files.limits import MAX_NAME_CHARACTERS, MAX_PARTS, MAX_PURPOSE_CHARACTERS, PURPOSE_PATTERN
from django_integration.files.models import FileModel
from django_integration.files.services import MAX_CONFIRM_FILES, ConfirmEntry
from django_integration.files.storage import download_link

#: The databases' largest integer.
_MAX_INTEGER = 2**63 - 1


# A pattern, not an enumeration: several of one name need a setting of the project to tell them apart.
@extend_schema_field({"type": "string", "pattern": "^(waiting|confirmed)$"})
class FileStatusField(serializers.CharField):
    """Of a file: `waiting` for the upload or its confirmation, or `confirmed`."""


@extend_schema_field({"type": "string", "pattern": "^(confirmed|failed)$"})
class ConfirmationStatusField(serializers.CharField):
    """Of a confirmation."""


class PresignRequestSerializer(serializers.Serializer[Any]):
    """What a client says about a file to come."""

    purpose = serializers.RegexField(
        PURPOSE_PATTERN, max_length=MAX_PURPOSE_CHARACTERS, help_text="Such as `employee_import`."
    )
    file_name = serializers.CharField(
        max_length=MAX_NAME_CHARACTERS, help_text="Its ending has to be one that the purpose allows."
    )
    size = serializers.IntegerField(
        min_value=1,
        max_value=_MAX_INTEGER,
        required=False,
        allow_null=True,
        help_text="Bytes. Where it is given no other size can be uploaded, and a large file gets an upload in parts.",
    )
    content_type = serializers.CharField(
        max_length=MAX_NAME_CHARACTERS,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="Where it is given the upload has to send it as well; see `headers` of the answer.",
    )


class PartLinkSerializer(serializers.Serializer[Any]):
    """One part of an upload in parts."""

    part_number = serializers.IntegerField(min_value=1, max_value=MAX_PARTS)
    size = serializers.IntegerField(help_text="Bytes of exactly this part.")
    presigned_url = serializers.CharField(help_text="Takes the part's bytes by PUT and answers with its `ETag`.")


class MultipartUploadSerializer(serializers.Serializer[Any]):
    """An upload in parts."""

    upload_id = serializers.CharField()
    part_size = serializers.IntegerField(help_text="Bytes of every part but the last.")
    parts = PartLinkSerializer(many=True)


class PresignedUploadSerializer(serializers.Serializer[Any]):
    """A file to come, and how to send it."""

    file_id = serializers.IntegerField(source="file.pk")
    presigned_url = serializers.CharField(
        allow_null=True, help_text="Takes the file's bytes by PUT, without a login. Null for an upload in parts."
    )
    method = serializers.SerializerMethodField()
    headers = serializers.DictField(child=serializers.CharField(), help_text="To be sent exactly so with the PUT.")
    expires_at = serializers.DateTimeField()
    file_name = serializers.CharField(source="file.file_name", help_text="Without folders.")
    file_path = serializers.CharField(source="file.file_path", help_text="Key in the storage, made by the server.")
    multipart = MultipartUploadSerializer(allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=["PUT"]))
    def get_method(self, _: Any) -> str:
        """Always PUT."""
        return "PUT"


class UploadedPartSerializer(serializers.Serializer[Any]):
    """A part that the client has sent."""

    part_number = serializers.IntegerField(min_value=1, max_value=MAX_PARTS)
    etag = serializers.CharField(max_length=MAX_NAME_CHARACTERS, help_text="As the storage answered; quotes may stay.")


class ConfirmEntrySerializer(serializers.Serializer[Any]):
    """What the client says about one file that it has sent."""

    file_id = serializers.IntegerField(min_value=1, max_value=_MAX_INTEGER)
    checksum = serializers.RegexField(
        r"^[0-9A-Fa-f]{64}\Z",
        help_text="SHA-256 in hexadecimal.",
        error_messages={"invalid": _("It must be the SHA-256 of the file, 64 hexadecimal digits.")},
    )
    size = serializers.IntegerField(min_value=0, max_value=_MAX_INTEGER, help_text="Bytes.")
    parts = serializers.ListField(
        child=UploadedPartSerializer(),
        required=False,
        allow_null=True,
        allow_empty=False,
        max_length=MAX_PARTS,
        help_text="Of an upload in parts; without it whatever has arrived is put together.",
    )


class ConfirmRequestSerializer(serializers.Serializer[Any]):
    """Files that have been sent."""

    files = ConfirmEntrySerializer(many=True, allow_empty=False, max_length=MAX_CONFIRM_FILES)  # type: ignore[call-arg]

    def entries(self) -> list[ConfirmEntry]:
        """The checked request, for the service."""
        return [
            ConfirmEntry(
                file_id=entry["file_id"],
                checksum=entry["checksum"],
                size=entry["size"],
                parts=tuple((part["part_number"], part["etag"]) for part in parts) if parts is not None else None,
            )
            for entry in self.validated_data["files"]
            for parts in (entry.get("parts"),)
        ]


class ConfirmationErrorSerializer(serializers.Serializer[ConfirmationError]):
    """Why a file is not confirmed."""

    code = serializers.ChoiceField(choices=CONFIRMATION_CODES)
    message = serializers.CharField()


class ConfirmationSerializer(serializers.Serializer[Any]):
    """What came of one file."""

    file_id = serializers.IntegerField()
    status = ConfirmationStatusField()
    is_confirmed = serializers.BooleanField(help_text="Whether it may be imported now.")
    file_name = serializers.CharField(source="file.file_name", default=None, allow_null=True)
    size = serializers.IntegerField(source="file.size", default=None, allow_null=True)
    checksum = serializers.CharField(source="file.checksum", default=None, allow_null=True)
    error = ConfirmationErrorSerializer(allow_null=True)


class ConfirmResponseSerializer(serializers.Serializer[Any]):
    """One answer a file, in the order of the request."""

    files = ConfirmationSerializer(many=True)


class FileSerializer(serializers.ModelSerializer[FileModel]):
    """A file as its owner sees it."""

    file_id = serializers.IntegerField(source="pk", read_only=True)
    status = FileStatusField(read_only=True)

    class Meta:
        model = FileModel
        fields: tuple[str, ...] = (
            "file_id",
            "purpose",
            "file_name",
            "file_path",
            "status",
            "is_confirmed",
            "size",
            "checksum",
            "content_type",
            "uploaded_by_id",
            "created_at",
            "confirmed_at",
        )
        read_only_fields = fields


class FileDetailSerializer(FileSerializer):
    """A file with a link to its content."""

    url = serializers.SerializerMethodField(help_text="A fresh download link; null until the file is confirmed.")

    class Meta(FileSerializer.Meta):
        fields = (*FileSerializer.Meta.fields, "url")
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_url(self, file: FileModel) -> str | None:
        """Made per request, since whoever holds it may use it."""
        if not file.is_confirmed:
            return None
        expires_seconds = import_settings().result_presign_expires
        return download_link(file.file_path, file.file_name, expires_seconds, self.context.get("request"))


class DetailSerializer(serializers.Serializer[Any]):
    """An error that belongs to no field."""

    detail = serializers.CharField()

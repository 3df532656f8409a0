"""Requests and responses of the imports API."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import download_link
from django_integration.imports import services
from django_integration.imports.models import ImportJob
from django_integration.imports.result_records import result_name


class ImportOptionsSerializer(serializers.Serializer[Any]):
    """Documents the known options for the schema; `engine.options` checks them, and passes others to the handler."""

    batch_size = serializers.IntegerField(
        min_value=1, max_value=100_000, required=False, help_text=_("Rows between two updates of progress.")
    )
    count_total_first = serializers.BooleanField(
        required=False, help_text=_("Count all rows before the first one is processed.")
    )
    header_rows = serializers.IntegerField(
        min_value=0, max_value=1_000, required=False, help_text=_("Header rows to skip.")
    )
    output_format = serializers.ChoiceField(
        choices=["csv", "xlsx"], required=False, help_text=_("Format of the result files.")
    )
    create_result_file_records = serializers.BooleanField(
        required=False, help_text=_("Create file records of the result files.")
    )
    handler_path = serializers.CharField(
        required=False, allow_null=True, help_text=_("One of the handlers that may be used here.")
    )
    chunk_size = serializers.IntegerField(
        min_value=1, max_value=10_000_000, required=False, allow_null=True, help_text=_("Rows of a chunk, at most.")
    )
    delimiter = serializers.CharField(required=False, allow_null=True, help_text=_("One character."))
    quote_char = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text=_("One character, or empty for no quoting.")
    )
    encoding = serializers.CharField(required=False, allow_null=True, help_text=_("Such as utf-8 or cp1252."))
    member = serializers.CharField(
        required=False, allow_null=True, help_text=_("The file in a ZIP archive that is the table.")
    )
    skip_rows = serializers.IntegerField(
        min_value=0, max_value=100_000, required=False, allow_null=True, help_text=_("Lines above the header.")
    )
    sheet = serializers.JSONField(
        required=False, allow_null=True, help_text=_("Of a workbook: a name, or a number counted from 1.")
    )
    table = serializers.CharField(
        required=False, allow_null=True, help_text=_("Of a workbook: a table, a named range, or one such as A3:J500.")
    )
    result_header = serializers.ChoiceField(
        choices=["positional", "source"], required=False, help_text=_("How result files name their columns.")
    )


class StartImportSerializer(serializers.Serializer[Any]):
    """The body of a start."""

    file_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    options = serializers.DictField(required=False, default=dict)


class StartedSerializer(serializers.ModelSerializer[ImportJob]):
    """The answer to a start."""

    import_job_id = serializers.UUIDField(source="id")
    created_at = serializers.DateTimeField(default_timezone=UTC)

    class Meta:
        model = ImportJob
        fields = ("import_job_id", "celery_task_id", "status", "created_at")


class ResultFileSerializer(serializers.Serializer[Any]):
    """One result file; null until it is there, and for whoever asked for none."""

    file_id = serializers.IntegerField(allow_null=True)
    url = serializers.CharField(allow_null=True)


class ResultFilesSerializer(serializers.Serializer[Any]):
    """Both result files."""

    success_file = ResultFileSerializer()
    failed_file = ResultFileSerializer()


class StatusSerializer(serializers.ModelSerializer[ImportJob]):
    """The status response, field by field as the usage guide has it."""

    file_id = serializers.IntegerField()
    created_by_id = serializers.IntegerField(allow_null=True)
    total_rows = serializers.IntegerField(allow_null=True)
    processed_rows = serializers.IntegerField()
    success_count = serializers.IntegerField()
    failure_count = serializers.IntegerField()
    percentage = serializers.FloatField(allow_null=True)
    result_files = ResultFilesSerializer()
    error_message = serializers.CharField(allow_null=True)

    class Meta:
        model = ImportJob
        fields: tuple[str, ...] = (
            "id",
            "file_id",
            "status",
            "celery_task_id",
            "created_by_id",
            "created_at",
            "started_at",
            "finished_at",
            "total_rows",
            "processed_rows",
            "success_count",
            "failure_count",
            "percentage",
            "result_files",
            "error_message",
        )

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        """The job with its live counts, and download links made for this request."""
        progress = services.live_progress(instance)
        counts = progress.counts
        known = {
            "id": str(instance.pk),
            "file_id": instance.file_id,
            "status": instance.status,
            "phase": instance.phase or None,
            "celery_task_id": instance.celery_task_id,
            "created_by_id": instance.created_by_id,
            "created_at": _time(instance.created_at),
            "started_at": _time(instance.started_at),
            "finished_at": _time(instance.finished_at),
            "total_rows": progress.total_rows,
            "processed_rows": counts.processed_rows,
            "success_count": counts.success_count,
            "failure_count": counts.failure_count,
            "percentage": progress.percentage,
            "result_files": {
                "success_file": self._result_file(instance, instance.success_file, instance.success_key),
                "failed_file": self._result_file(instance, instance.failed_file, instance.failed_key),
            },
            "error_code": instance.error_code or None,
            "error_message": instance.error_message or None,
            "cancel_requested": instance.cancel_requested,
            "handler_path": instance.handler_path,
            "options": instance.options,
            "dialect": (instance.plan or {}).get("dialect"),
            "header": (instance.plan or {}).get("header"),
            "details": (instance.plan or {}).get("details"),
        }
        return {name: known[name] for name in self.Meta.fields}

    def _result_file(self, job: ImportJob, record: FileModel | None, key: str) -> dict[str, Any]:
        url = None
        if key:
            expires = import_settings().result_presign_expires
            url = download_link(key, result_name(job, key), expires, request=self.context.get("request"))
        return {"file_id": record.pk if record else None, "url": url}


class JobSerializer(StatusSerializer):
    """A job in full: the status, and what only its detail shows."""

    phase = serializers.ChoiceField(choices=ImportJob.Phase.choices, allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    dialect = serializers.DictField(allow_null=True)
    details = serializers.DictField(
        allow_null=True, help_text=_("What else was found out of the source: its kind, and of a workbook the sheet.")
    )
    header = serializers.ListField(child=serializers.CharField(), allow_null=True)

    class Meta(StatusSerializer.Meta):
        fields = (
            *StatusSerializer.Meta.fields,
            "phase",
            "error_code",
            "cancel_requested",
            "handler_path",
            "options",
            "dialect",
            "details",
            "header",
        )


class RowErrorSerializer(serializers.Serializer[Any]):
    """One refused row."""

    position = serializers.IntegerField(help_text=_("1-based, among the refused rows in input order."))
    row = serializers.ListField(child=serializers.CharField(allow_blank=True))
    import_error = serializers.CharField(allow_blank=True)


class RowErrorPageSerializer(serializers.Serializer[Any]):
    """A page of refused rows."""

    count = serializers.IntegerField(help_text=_("Refused rows so far."))
    next_offset = serializers.IntegerField(allow_null=True)
    results = RowErrorSerializer(many=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """What a source looks like."""

    file_id = serializers.IntegerField()
    encoding = serializers.CharField()
    delimiter = serializers.CharField()
    quote_char = serializers.CharField(allow_null=True)
    confidence = serializers.FloatField()
    header = serializers.ListField(child=serializers.CharField(allow_blank=True))
    column_count = serializers.IntegerField()
    rows = serializers.ListField(child=serializers.ListField(child=serializers.CharField(allow_blank=True)))


class ErrorSerializer(serializers.Serializer[Any]):
    """An error that belongs to no field."""

    detail = serializers.CharField()


def _time(value: Any) -> Any:
    """As the guide has it: in UTC, whatever the project's time zone."""
    return serializers.DateTimeField(default_timezone=UTC).to_representation(value) if value is not None else None

"""Requests and responses of the imports API."""

from __future__ import annotations

from datetime import UTC
from difflib import get_close_matches
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.utils import html

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import download_link
from django_integration.imports import services
from django_integration.imports.models import ImportJob
from django_integration.imports.moments import exact
from django_integration.imports.result_records import result_name
from engine.options import KNOWN
from engine.status import PAUSED, Phase, shown_phase


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
    escape_char = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text=_("One character, or empty for no escapes.")
    )
    skip_initial_space = serializers.BooleanField(
        required=False, allow_null=True, help_text=_("Leave out blanks at the start of cells.")
    )
    encoding = serializers.CharField(required=False, allow_null=True, help_text=_("Such as utf-8 or cp1252."))
    skip_rows = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, allow_null=True, help_text=_("Lines above the header.")
    )
    decimal = serializers.ChoiceField(
        choices=[".", ","], required=False, allow_null=True, help_text=_("Decimal mark of the numbers.")
    )
    added_columns = serializers.ChoiceField(
        choices=["auto", "ignore", "keep"], required=False, help_text=_("What a result file has added as last column.")
    )
    member = serializers.CharField(
        required=False, allow_null=True, help_text=_("The file in a ZIP archive that is the table.")
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
    max_errors = serializers.IntegerField(
        min_value=0, required=False, allow_null=True, help_text=_("More refused rows end the import as failed.")
    )
    max_error_rate = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        allow_null=True,
        help_text=_("The same by share, judged after 1,000 rows or at the end of a shorter source."),
    )


class DetectionSerializer(serializers.Serializer[Any]):
    """What was found by looking at a source."""

    confidence = serializers.DictField(
        child=serializers.FloatField(), help_text=_("By import option: from 0, a guess, to 1, certain or given.")
    )
    line_end = serializers.CharField(allow_blank=True, help_text=_("LF, CRLF, CR, mixed, or empty."))
    decimal = serializers.CharField(allow_null=True, help_text=_("Decimal mark of the numbers that were seen."))
    preamble = serializers.ListField(
        child=serializers.CharField(allow_blank=True), help_text=_("Lines above the header, which are left out.")
    )
    advice = serializers.ListField(
        child=serializers.CharField(), help_text=_("What may be otherwise, and how to say so.")
    )


class StartImportSerializer(serializers.Serializer[Any]):
    """The body of a start."""

    file_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    options = serializers.DictField(required=False, default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse options that would be lost, and rows be read otherwise than was asked: those beside `options`."""
        # Inside another serializer it is not known.
        given = getattr(self, "initial_data", {})
        beside = [name for name in given if name not in self.fields]
        lost = {name: [_("This is an import option: put it into options.")] for name in beside if name in KNOWN}
        if html.is_html_input(given):
            # REST framework reads `options.delimiter` of a form, and neither of these.
            unread = [name for name in given if name == "options" or name.startswith("options[")]
            lost |= {name: [_("Options of a form are not read like this: send JSON.")] for name in unread}
        elif "options" not in given:
            near = get_close_matches("options", beside, n=1, cutoff=0.8)
            lost |= {name: [_('This is not known; did you mean "options"?')] for name in near}
        if lost:
            raise serializers.ValidationError(lost)
        return attrs


class MomentField(serializers.DateTimeField):
    """As the guide has it: in UTC, whatever the project's time zone, and whether or not it uses any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_timezone=UTC, **options)

    def to_representation(self, value: Any) -> Any:
        """Made aware first: the field would take a naive local time for one of UTC."""
        return super().to_representation(exact(value))


class StartedSerializer(serializers.ModelSerializer[ImportJob]):
    """The answer to a start."""

    import_job_id = serializers.UUIDField(source="id")
    created_at = MomentField()

    class Meta:
        model = ImportJob
        fields = ("import_job_id", "celery_task_id", "status", "created_at")


class ResultFileSerializer(serializers.Serializer[Any]):
    """One result file; null until it is there, and for whoever asked for none."""

    file_id = serializers.IntegerField(allow_null=True)
    url = serializers.CharField(allow_null=True)


class ResultFilesSerializer(serializers.Serializer[Any]):
    """Both result files, and a third where the job ended before its last row."""

    success_file = ResultFileSerializer()
    failed_file = ResultFileSerializer()
    unprocessed_file = ResultFileSerializer(
        required=False, help_text=_("The rows that were not run; there only where there are such rows.")
    )


class StatusSerializer(serializers.ModelSerializer[ImportJob]):
    """The status response, field by field as the usage guide has it."""

    file_id = serializers.IntegerField()
    created_by_id: serializers.Field[Any, Any, Any, Any] = serializers.PrimaryKeyRelatedField(
        source="created_by", read_only=True, allow_null=True
    )
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
            "phase": shown_phase(
                Phase(instance.phase) if instance.phase else None,
                paused=instance.paused,
                cancel_requested=instance.cancel_requested,
            ),
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
            "result_files": self._result_files(instance),
            "error_code": instance.error_code or None,
            "error_message": instance.error_message or None,
            "cancel_requested": instance.cancel_requested,
            "paused": instance.paused,
            "retry_of": instance.retry_of_id and str(instance.retry_of_id),
            "handler_path": instance.handler_path,
            "options": instance.options,
            "dialect": (instance.plan or {}).get("dialect"),
            "header": (instance.plan or {}).get("header"),
            "details": (instance.plan or {}).get("details"),
            "detection": (instance.plan or {}).get("detection"),
            "added_column": (instance.plan or {}).get("added_column"),
        }
        return {name: known[name] for name in self.Meta.fields if name in known}

    def _result_files(self, job: ImportJob) -> dict[str, Any]:
        """The guide's two; the third only where there is one."""
        files = {
            "success_file": self._result_file(job, job.success_file, job.success_key),
            "failed_file": self._result_file(job, job.failed_file, job.failed_key),
        }
        if job.is_final and job.unprocessed_key:
            files["unprocessed_file"] = self._result_file(job, job.unprocessed_file, job.unprocessed_key)
        return files

    def _result_file(self, job: ImportJob, record: FileModel | None, key: str) -> dict[str, Any]:
        url = None
        if not job.is_final:
            # A job that was resumed still has the files of its earlier end, which are about to be replaced.
            record, key = None, ""
        if key:
            expires = import_settings().result_presign_expires
            url = download_link(key, result_name(job, key), expires, request=self.context.get("request"))
        return {"file_id": record.pk if record else None, "url": url}


class JobSerializer(StatusSerializer):
    """A job in full: the status, and what only its detail shows."""

    phase = serializers.ChoiceField(choices=[*ImportJob.Phase.choices, (PAUSED, _("paused"))], allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    dialect = serializers.DictField(allow_null=True)
    details = serializers.DictField(
        allow_null=True, help_text=_("What else was found out of the source: its kind, and of a workbook the sheet.")
    )
    header = serializers.ListField(child=serializers.CharField(allow_blank=True), allow_null=True)
    detection = DetectionSerializer(allow_null=True)
    added_column = serializers.CharField(
        allow_null=True, help_text=_("The last column, which is left out as one that a result file added.")
    )
    retry_of = serializers.UUIDField(allow_null=True, help_text=_("The job whose refused rows this one runs again."))

    class Meta(StatusSerializer.Meta):
        fields = (
            *StatusSerializer.Meta.fields,
            "phase",
            "error_code",
            "cancel_requested",
            "paused",
            "handler_path",
            "options",
            "dialect",
            "details",
            "header",
            "detection",
            "added_column",
            "retry_of",
        )


class JobDetailSerializer(JobSerializer):
    """A job with why its rows were refused."""

    errors_by_message = serializers.DictField(
        child=serializers.IntegerField(),
        help_text=_("The most frequent reasons of refused rows, of the chunks that are through; bounded."),
    )

    class Meta(JobSerializer.Meta):
        fields = (*JobSerializer.Meta.fields, "errors_by_message")

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        """The job, and one more query."""
        return {**super().to_representation(instance), "errors_by_message": dict(services.errors_by_message(instance))}


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
    escape_char = serializers.CharField(allow_null=True)
    skip_initial_space = serializers.CharField()
    added_column = serializers.CharField(allow_null=True)
    detection = DetectionSerializer()


class ErrorSerializer(serializers.Serializer[Any]):
    """An error that belongs to no field."""

    detail = serializers.CharField()


def _time(value: Any) -> Any:
    return None if value is None else MomentField().to_representation(value)

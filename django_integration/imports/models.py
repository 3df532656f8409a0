"""Import jobs and their chunks. The models record; `services` starts and stops, the engine works."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_integration.files.models import FileModel
from django_integration.primary import PrimaryManager


class ImportJob(models.Model):
    """One run over one file."""

    class Status(models.TextChoices):
        """The coarse state, as the usage guide has it."""

        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Phase(models.TextChoices):
        """What a running job is doing."""

        SCANNING = "scanning", _("scanning")
        PROCESSING = "processing", _("processing")
        CANCELLING = "cancelling", _("cancelling")
        FAILING = "failing", _("failing")
        MERGING = "merging", _("merging")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file = models.ForeignKey(FileModel, verbose_name=_("file"), on_delete=models.PROTECT, related_name="import_jobs")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    celery_task_id = models.CharField(_("Celery task"), max_length=255, blank=True, db_index=True)
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.QUEUED)
    phase = models.CharField(_("phase"), max_length=16, choices=Phase.choices, blank=True, default="")
    handler_path = models.CharField(_("handler"), max_length=500)
    handler_mode = models.CharField(
        _("handler takes"), max_length=5, choices=[("row", _("rows")), ("batch", _("batches"))], default="row"
    )
    options = models.JSONField(_("options"), default=dict, blank=True, encoder=DjangoJSONEncoder)

    total_rows = models.BigIntegerField(_("total rows"), null=True, blank=True)
    processed_rows = models.BigIntegerField(_("processed rows"), default=0)
    success_count = models.BigIntegerField(_("succeeded rows"), default=0)
    failure_count = models.BigIntegerField(_("failed rows"), default=0)

    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)
    paused = models.BooleanField(_("paused"), default=False)
    retry_of = models.ForeignKey(
        "self", verbose_name=_("retry of"), null=True, blank=True, on_delete=models.SET_NULL, related_name="retries"
    )
    forgiven_success = models.BigIntegerField(default=0)
    forgiven_failure = models.BigIntegerField(default=0)

    success_file = models.ForeignKey(
        FileModel, verbose_name=_("success file"), null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    failed_file = models.ForeignKey(
        FileModel, verbose_name=_("failed file"), null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    unprocessed_file = models.ForeignKey(
        FileModel,
        verbose_name=_("unprocessed file"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    success_key = models.CharField(_("success key"), max_length=1024, blank=True, default="")
    failed_key = models.CharField(_("failed key"), max_length=1024, blank=True, default="")
    unprocessed_key = models.CharField(_("unprocessed key"), max_length=1024, blank=True, default="")
    error_code = models.CharField(_("error code"), max_length=100, blank=True, default="")
    error_message = models.TextField(_("error message"), blank=True, default="")

    idempotency_key = models.CharField(_("idempotency key"), max_length=255, null=True, blank=True)
    request_digest = models.CharField(_("request digest"), max_length=64, blank=True, default="")

    source_size = models.BigIntegerField(_("source size"), default=0)
    source_etag = models.CharField(_("source ETag"), max_length=255, blank=True, default="")
    plan = models.JSONField(_("plan"), null=True, blank=True)
    owner = models.CharField(_("owner"), max_length=255, null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("heartbeat at"), null=True, blank=True)

    class Sweep(models.TextChoices):
        """How far the parts of an ended job are removed; one that has failed cannot be resumed from `begun` on."""

        BEGUN = "begun", _("begun")
        DONE = "done", _("done")

    announce_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    """By when the signal of the end must have been sent; None where nothing is to be told."""

    sweep = models.CharField(max_length=5, choices=Sweep.choices, blank=True, default="")

    objects = PrimaryManager["ImportJob"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("import job")
        verbose_name_plural = _("import jobs")
        ordering = ("-created_at", "-id")
        permissions = (("manage_importjobs", _("Can see and cancel everybody's import jobs")),)
        indexes = [
            models.Index(fields=["created_by", "-created_at"], name="rowmill_job_by_user"),
            models.Index(
                fields=["status"], name="rowmill_job_unfinished", condition=models.Q(status__in=["queued", "running"])
            ),
            models.Index(
                fields=["announce_due_at"],
                name="rowmill_job_untold",
                condition=models.Q(announce_due_at__isnull=False),
            ),
            models.Index(fields=["finished_at"], name="rowmill_job_unswept", condition=~models.Q(sweep="done")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                name="rowmill_job_idempotency",
                condition=models.Q(idempotency_key__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self.status not in (self.Status.QUEUED, self.Status.RUNNING)


class ImportChunk(models.Model):
    """A run of whole records of one job: the unit of dispatch, of retry, of counting once."""

    class Status(models.TextChoices):
        """Planned → sent → leased → done, and back when an attempt is lost."""

        PLANNED = "planned", _("planned")
        SENT = "sent", _("sent")
        LEASED = "leased", _("leased")
        DONE = "done", _("done")
        DROPPED = "dropped", _("dropped")

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="chunks")
    chunk_index = models.IntegerField()
    byte_start = models.BigIntegerField()
    byte_end = models.BigIntegerField()
    first_row_index = models.BigIntegerField()
    row_count = models.IntegerField()
    first_line_number = models.BigIntegerField()
    irregular = models.BooleanField(default=False)
    crc32 = models.BigIntegerField(null=True, blank=True)

    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PLANNED)
    attempt = models.IntegerField(default=0)
    token = models.CharField(max_length=64, null=True, blank=True)
    owner = models.CharField(max_length=255, null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    sendings = models.IntegerField(default=0)
    deaths = models.IntegerField(default=0)
    suspect_row = models.BigIntegerField(null=True, blank=True)
    guilty_rows = models.JSONField(default=list, blank=True)

    success_count = models.IntegerField(default=0)
    failure_count = models.IntegerField(default=0)
    success_part = models.CharField(max_length=500, null=True, blank=True)
    success_bytes = models.BigIntegerField(null=True, blank=True)
    success_crc32 = models.BigIntegerField(null=True, blank=True)
    failed_part = models.CharField(max_length=500, null=True, blank=True)
    failed_bytes = models.BigIntegerField(null=True, blank=True)
    failed_crc32 = models.BigIntegerField(null=True, blank=True)
    messages = models.JSONField(default=dict, blank=True)

    objects = PrimaryManager["ImportChunk"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("import chunk")
        verbose_name_plural = _("import chunks")
        ordering = ("job_id", "chunk_index")  # "job" would join, and a lock would take the job's row too
        constraints = [models.UniqueConstraint(fields=["job", "chunk_index"], name="rowmill_chunk_once")]
        indexes = [models.Index(fields=["job", "status", "chunk_index"], name="rowmill_chunk_by_status")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.chunk_index}"


class WatchedRow(models.Model):
    """The row that a chunk is about to run, while its deaths are looked into.

    Apart from the chunk, whose row is locked while it runs.
    """

    chunk = models.OneToOneField(ImportChunk, on_delete=models.CASCADE, primary_key=True, related_name="watched")
    row_index = models.BigIntegerField()

    objects = PrimaryManager["WatchedRow"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("watched row")
        verbose_name_plural = _("watched rows")

    def __str__(self) -> str:
        return f"{self.chunk_id}: {self.row_index}"

"""The third result file, pausing, retries, the error budget, why rows were refused, and sweeping."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rowmill_files", "0001_initial"),
        ("rowmill_imports", "0002_handler_mode"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="importchunk",
            name="messages",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="importjob",
            name="forgiven_failure",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="importjob",
            name="forgiven_success",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="importjob",
            name="paused",
            field=models.BooleanField(default=False, verbose_name="paused"),
        ),
        migrations.AddField(
            model_name="importjob",
            name="retry_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="retries",
                to="rowmill_imports.importjob",
                verbose_name="retry of",
            ),
        ),
        migrations.AddField(
            model_name="importjob",
            name="sweep",
            field=models.CharField(
                blank=True, choices=[("begun", "begun"), ("done", "done")], default="", max_length=5
            ),
        ),
        migrations.AddField(
            model_name="importjob",
            name="unprocessed_file",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="rowmill_files.filemodel",
                verbose_name="unprocessed file",
            ),
        ),
        migrations.AddField(
            model_name="importjob",
            name="unprocessed_key",
            field=models.CharField(blank=True, default="", max_length=1024, verbose_name="unprocessed key"),
        ),
        migrations.AlterField(
            model_name="importjob",
            name="phase",
            field=models.CharField(
                blank=True,
                choices=[
                    ("scanning", "scanning"),
                    ("processing", "processing"),
                    ("cancelling", "cancelling"),
                    ("failing", "failing"),
                    ("merging", "merging"),
                ],
                default="",
                max_length=16,
                verbose_name="phase",
            ),
        ),
        migrations.AddIndex(
            model_name="importjob",
            index=models.Index(
                condition=models.Q(("sweep", "done"), _negated=True), fields=["finished_at"], name="rowmill_job_unswept"
            ),
        ),
    ]

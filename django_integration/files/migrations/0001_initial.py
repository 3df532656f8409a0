"""The table of files."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="FileModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("purpose", models.CharField(db_index=True, max_length=100, verbose_name="purpose")),
                (
                    "file_name",
                    models.CharField(
                        help_text="As the user named it; never a path.", max_length=255, verbose_name="file name"
                    ),
                ),
                (
                    "file_path",
                    models.CharField(
                        help_text="Key in the storage, made by the server.",
                        max_length=1024,
                        unique=True,
                        verbose_name="file path",
                    ),
                ),
                ("is_confirmed", models.BooleanField(default=False, verbose_name="confirmed")),
                (
                    "size",
                    models.BigIntegerField(
                        blank=True, help_text="Bytes; as verified once confirmed.", null=True, verbose_name="size"
                    ),
                ),
                (
                    "checksum",
                    models.CharField(
                        blank=True, help_text="SHA-256 in hexadecimal.", max_length=64, verbose_name="checksum"
                    ),
                ),
                ("content_type", models.CharField(blank=True, max_length=255, verbose_name="content type")),
                (
                    "etag",
                    models.CharField(
                        blank=True,
                        help_text="Of the version that was confirmed; an import reads no other.",
                        max_length=255,
                        verbose_name="ETag",
                    ),
                ),
                ("upload_id", models.CharField(blank=True, max_length=1024, verbose_name="multipart upload")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("confirmed_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed at")),
                (
                    "uploaded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="uploaded by",
                    ),
                ),
            ],
            options={
                "verbose_name": "file",
                "verbose_name_plural": "files",
                "ordering": ("-id",),
                "permissions": (("manage_filemodels", "Can see and confirm everybody's files"),),
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_confirmed", False)), fields=["uploaded_by"], name="rowmill_file_waiting"
                    )
                ],
            },
        ),
    ]

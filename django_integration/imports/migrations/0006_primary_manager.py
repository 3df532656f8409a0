"""Records are looked up where they are written, whatever a router says; nothing changes in the database."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("rowmill_imports", "0005_announce_due_at"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="importchunk",
            options={
                "base_manager_name": "objects",
                "ordering": ("job_id", "chunk_index"),
                "verbose_name": "import chunk",
                "verbose_name_plural": "import chunks",
            },
        ),
        migrations.AlterModelOptions(
            name="importjob",
            options={
                "base_manager_name": "objects",
                "ordering": ("-created_at", "-id"),
                "permissions": (("manage_importjobs", "Can see and cancel everybody's import jobs"),),
                "verbose_name": "import job",
                "verbose_name_plural": "import jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="watchedrow",
            options={
                "base_manager_name": "objects",
                "verbose_name": "watched row",
                "verbose_name_plural": "watched rows",
            },
        ),
    ]

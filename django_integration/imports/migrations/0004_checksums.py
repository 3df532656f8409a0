"""Checksums of what a chunk reads and of what it has stored."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rowmill_imports", "0003_unprocessed_pause_retry")]

    operations = [
        migrations.AddField(
            model_name="importchunk",
            name=name,
            field=models.BigIntegerField(blank=True, null=True),
        )
        for name in ("crc32", "success_crc32", "failed_crc32")
    ]

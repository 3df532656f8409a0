"""Whether a job's handler takes rows or batches."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rowmill_imports", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="handler_mode",
            field=models.CharField(
                choices=[("row", "rows"), ("batch", "batches")],
                default="row",
                max_length=5,
                verbose_name="handler takes",
            ),
        ),
    ]

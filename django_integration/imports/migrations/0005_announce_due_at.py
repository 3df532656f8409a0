"""By when the signal of a job's end must have been sent. Of the jobs that have ended already nothing is told again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rowmill_imports", "0004_checksums")]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="announce_due_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="importjob",
            index=models.Index(
                condition=models.Q(("announce_due_at__isnull", False)),
                fields=["announce_due_at"],
                name="rowmill_job_untold",
            ),
        ),
    ]

"""Records are looked up where they are written, whatever a router says; nothing changes in the database."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("rowmill_files", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="filemodel",
            options={
                "base_manager_name": "objects",
                "ordering": ("-id",),
                "permissions": (("manage_filemodels", "Can see and confirm everybody's files"),),
                "verbose_name": "file",
                "verbose_name_plural": "files",
            },
        ),
    ]

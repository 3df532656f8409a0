"""Rows into a Django model on PostgreSQL, by their number, emails checked: rowmill and the importers of others.

`python -m benchmarks.cases.model_import PROGRAM TABLE`. The table in the database is empty at the start. The clock runs
from the open file to the last row saved, without the start of Django and the making of tables.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django


def import_export(table: str, *, bulk: bool) -> None:
    """django-import-export, the dataset loaded whole as it wants it; a refused row is skipped."""
    import tablib

    from benchmarks.cases import model_resources

    resource = model_resources.BulkPeople if bulk else model_resources.People
    with open(table, newline="", encoding="utf-8") as file:
        dataset = tablib.Dataset().load(file, format="csv", headers=True)
    result = resource().import_data(dataset, dry_run=False, use_transactions=not bulk, raise_errors=True)
    if result.has_errors():
        raise SystemExit("django-import-export found errors.")


def extensions(table: str) -> None:
    """django-import-export-extensions: an ImportJob that is parsed and imported by tasks, here without a broker."""
    from django.core.files import File
    from import_export_extensions.models import ImportJob

    with open(table, "rb") as file:
        job = ImportJob.objects.create(
            resource_path="benchmarks.cases.extension_resources.BulkPeople",
            data_file=File(file, name="people.csv"),
            resource_kwargs={},
            skip_parse_step=True,
        )
    job.refresh_from_db()
    if job.import_status != "IMPORTED":
        raise SystemExit(f"The job ended as {job.import_status}: {job.error_message}")


def rowmill(table: str) -> None:
    """The ready-made batch handler, one process, result files in a local folder."""
    from django.contrib.auth import get_user_model

    from django_integration.imports.local_run import LocalRun

    user, _ = get_user_model().objects.get_or_create(username="benchmark")
    report = LocalRun().run(str(_rowmill_job(table, user).pk))
    if not report.succeeded:
        raise SystemExit(f"The job ended as {report.job.status}: {report.job.error_message}")


def _rowmill_job(table: str, user: Any) -> Any:
    from django_integration.imports import services
    from django_integration.imports.file_intake import take_in

    request = services.StartRequest(
        user=user,
        file_id=take_in(Path(table), purpose=None, user=user).pk,
        options={},
        handler_path="benchmarks.project.handlers.save_people",
        handler_mode="batch",
    )
    job, _ = services.start(request, send=lambda _job_id, _task_id: None)
    return job


_PROGRAMS: dict[str, Callable[[str], None]] = {
    "rows": lambda table: import_export(table, bulk=False),
    "bulk": lambda table: import_export(table, bulk=True),
    "extensions": extensions,
    "rowmill": rowmill,
}


def main(program: str, table: str) -> None:
    """Make the tables anew, import, count what is there."""
    with TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
            "FILES_STORAGE_URL": f"{folder}/files",
            "BENCHMARK_MEDIA_ROOT": folder,
        }
        if program == "extensions":
            os.environ["BENCHMARK_EXTENSIONS"] = "1"
        from benchmarks.project.celery import app

        # What the project's workers would do is done where it is called.
        app.conf.task_always_eager = True
        app.set_current()
        django.setup()
        from django.core.management import call_command

        from benchmarks.project.models import Person

        call_command("migrate", run_syncdb=True, verbosity=0)
        Person._default_manager.all().delete()
        began = time.perf_counter()
        _PROGRAMS[program](table)
        seconds = time.perf_counter() - began
        saved = Person._default_manager.count()
    with open(table, newline="", encoding="utf-8") as file:
        total = sum(1 for _ in csv.reader(file)) - 1
    print(json.dumps({"seconds": seconds, "success_count": saved, "failure_count": total - saved}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A user of the API: the clock runs from the POST to the answer that says "succeeded".

`python -m benchmarks.project.driver TABLE MODE`. The upload is no part of it: files go straight to S3, whatever the
importer. The requests go through every layer of Django but the web server. Before the clock starts a row is imported:
a web server has loaded by then what its first request loads (0.4 s).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from benchmarks.people import HEADER
from benchmarks.project.celery import app

if TYPE_CHECKING:
    from rest_framework.test import APIClient

_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 3600.0


def main(table: str, mode: str) -> None:
    """Import the table and print what it took."""
    app.set_current()
    django.setup()
    from django.contrib.auth import get_user_model
    from rest_framework.test import APIClient

    user, _ = get_user_model().objects.get_or_create(username="benchmark")
    client = APIClient()
    client.force_authenticate(user)
    with tempfile.TemporaryDirectory() as folder:
        row = Path(folder, "one-row.csv")
        row.write_text(f"{','.join(HEADER)}\n1,Ines,Jansen,ines@example.org,1,2.00,2026-11-29,DK,alpha,true\n")
        imported(client, stored(row, user), mode)
    print(json.dumps(imported(client, stored(Path(table), user), mode)))


def imported(client: APIClient, file_id: int, mode: str) -> dict[str, Any]:
    """Import a stored file; the seconds and counts."""
    began = time.perf_counter()
    started = client.post(f"/api/{mode}/import/", {"file_id": file_id, "options": {}})
    if started.status_code != 202:
        raise SystemExit(f"The import was refused: {started.content!r}")
    job_id = started.json()["import_job_id"]
    while True:
        status = client.get(f"/api/import/status/?task_id={job_id}").json()
        seconds = time.perf_counter() - began
        if status["status"] not in ("queued", "running"):
            break
        if seconds > _PATIENCE_SECONDS:
            raise SystemExit(f"The import does not end: {status}")
        time.sleep(_LOOK_SECONDS)
    if status["status"] != "succeeded":
        raise SystemExit(f"The import ended otherwise: {status}")
    told = {name: status[name] for name in ("success_count", "failure_count")}
    return {"seconds": seconds, **told}


def stored(table: Path, user: Any) -> int:
    """The file's record; the file itself is uploaded once."""
    from django_integration.files.models import FileModel
    from django_integration.files.storage import engine_config
    from engine.storage import open_storage

    key = f"benchmark/{table.name}"
    record = FileModel.objects.filter(file_path=key).first()
    if record is None:
        from django_integration.conf import storage_root

        storage = open_storage(storage_root(), engine_config())
        with table.open("rb") as file, storage.open_writer(key) as writer:
            while block := file.read(1024 * 1024):
                writer.write(block)
        record = FileModel.objects.create(
            purpose="benchmark",
            file_name=table.name,
            file_path=key,
            is_confirmed=True,
            uploaded_by=user,
            size=table.stat().st_size,
            etag=storage.stat(key).etag,
        )
    return int(record.pk)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""An import from upload to download in that project, in a process of its own; prints what was answered as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_integration.other_project.settings"
django.setup()

from django.core.management import call_command  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from django_integration.imports import bridge  # noqa: E402
from django_integration.imports.models import ImportJob  # noqa: E402
from tests.django_integration.other_project.models import Person  # noqa: E402

BODY = b"name\nAna\nBo\nCy\n"


def run_to_end(job_id: str, messages: list[tuple[Any, ...]]) -> None:
    """Do what the messages order."""
    steps = bridge.process_parts().steps
    steps.plan(job_id)
    while messages:
        task, *arguments = messages.pop(0)
        {bridge.PLAN_TASK: steps.plan, bridge.CHUNK_TASK: steps.chunk, bridge.FINISH_TASK: steps.finish}[task](
            *arguments
        )


def main() -> None:
    """Print a dict of what was asked to what was answered."""
    call_command("migrate", verbosity=0)
    messages: list[tuple[Any, ...]] = []
    bridge._send = lambda task, *arguments, **_: messages.append((task, *arguments))
    person = Person.objects.create_superuser("ana", password="ana")  # noqa: S106
    api = APIClient()
    api.force_authenticate(person)
    told: dict[str, Any] = {"person": str(person.pk)}

    announced = {"purpose": "people", "file_name": "people.csv", "size": len(BODY)}
    presigned = api.post("/api/v2/files/presign/", announced).json()
    told["upload"] = presigned["presigned_url"]
    put = APIClient().put(presigned["presigned_url"], BODY, content_type="application/octet-stream")
    told["put"] = put.status_code
    entry = {"file_id": presigned["file_id"], "size": len(BODY), "checksum": hashlib.sha256(BODY).hexdigest()}
    told["confirm"] = api.post("/api/v2/files/confirm/", {"files": [entry]}).status_code
    told["files"] = api.get("/api/v2/files/").json()["count"]

    start = {"file_id": presigned["file_id"]}
    started = api.post("/api/v2/tenants/7/people/import/", start)
    told["location"] = started["Location"]
    job_id = started.json()["import_job_id"]
    status = f"/api/v2/import/status/?task_id={job_id}"
    steps = bridge.process_parts().steps
    steps.plan(job_id)
    told["running"] = [api.get(status).json()["created_by_id"] for _ in range(2)]
    told["noted"] = bridge.process_parts().statuses.find(job_id) is not None
    run_to_end(job_id, messages)
    ended = api.get(status).json()
    told["ended"] = [ended["status"], ended["success_count"], ended["failure_count"]]
    told["result"] = ended["result_files"]["failed_file"]["url"]
    told["text"] = b"".join(APIClient().get(told["result"]).streaming_content).decode()  # type: ignore[attr-defined]
    detail = f"/api/v2/imports/{job_id}/"
    told["statuses"] = {
        path: api.get(path).status_code
        for path in (
            "/api/v2/imports/",
            detail,
            f"{detail}errors/",
            f"/api/v2/imports/preview/?file_id={presigned['file_id']}",
            f"/api/v2/files/{presigned['file_id']}/",
            "/api/v2/imports/metrics/",
        )
    }
    plain = api.post("/plain/people/import/", start)
    told["plain location"] = plain["Location"]
    other = plain.json()["import_job_id"]
    told["acts"] = {
        act: api.post(f"/api/v2/imports/{which}/{act}/").status_code
        for which, act in ((other, "pause"), (other, "resume"), (other, "cancel"), (job_id, "retry"))
    }
    told["view cancel"] = api.post(f"/api/v2/tenants/7/people/import/{other}/cancel/").status_code
    browser = APIClient()
    browser.force_login(person)
    told["admin"] = [
        browser.get(f"/admin/rowmill_{path}").status_code
        for path in ("imports/importjob/", f"imports/importjob/{job_id}/change/", "files/filemodel/")
    ]
    schema = api.get("/schema/?format=json").json()
    told["created_by_id"] = schema["components"]["schemas"]["Status"]["properties"]["created_by_id"]
    told["jobs"] = ImportJob.objects.count()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()

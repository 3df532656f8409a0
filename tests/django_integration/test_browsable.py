"""OPTIONS and the pages of DRF's browsable API, for every endpoint."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob


@pytest.fixture
def job(api: APIClient, user: User) -> ImportJob:
    file = FileModel.objects.create(
        purpose="people_import", file_name="a.csv", file_path="in/a.csv", is_confirmed=True, uploaded_by=user
    )
    return ImportJob.objects.create(file=file, created_by=user, handler_path="x", celery_task_id="t")


def addresses(job: ImportJob) -> list[str]:
    return [
        "/api/files/",
        "/api/files/presign/",
        "/api/files/confirm/",
        f"/api/files/{job.file_id}/",
        "/api/mymodels/import/",
        f"/api/picky/import/{job.pk}/cancel/",
        f"/api/import/status/?task_id={job.pk}",
        "/api/imports/",
        f"/api/imports/{job.pk}/",
        f"/api/imports/{job.pk}/cancel/",
        f"/api/imports/{job.pk}/errors/",
        f"/api/imports/preview/?file_id={job.file_id}",
    ]


def test_options_are_answered_for_every_endpoint_and_need_a_login(api: APIClient, job: ImportJob) -> None:
    for address in addresses(job):
        answer = api.options(address)
        assert answer.status_code == 200, address
        assert answer.json()["name"], address
        assert APIClient().options(address).status_code == 401, address


def test_a_browser_gets_a_page(job: ImportJob, user: User) -> None:
    browser = Client(headers={"accept": "text/html"})
    browser.force_login(user)
    for address in addresses(job):
        answer = browser.get(address)
        assert answer.status_code in (200, 400, 405), address
        assert answer["Content-Type"].startswith("text/html"), address
        assert "Django REST framework" in answer.content.decode(), address

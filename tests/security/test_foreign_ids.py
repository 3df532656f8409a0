"""User B, and nobody at all, at every address there is with what belongs to user A.

The addresses come from the URL configuration: one that is not attacked here fails the first test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob
from tests.django_integration.files.conftest import entry

pytestmark = pytest.mark.django_db

CSV = b"name,email\nAna,a@x\nBo,\n"

#: method and address, what it names of another user: `file` or `job` (in the address), `file in body`; `own` where
#: it only ever shows what is one's own, `staff` where it shows others nothing, `signed` where the signature in the
#: address is the right.
ATTACKS: dict[tuple[str, str], str] = {
    ("get", "/api/files/"): "own",
    ("post", "/api/files/presign/"): "own",
    ("post", "/api/files/confirm/"): "file in body",
    ("put", "/api/files/upload/{token}/"): "signed",
    ("get", "/api/files/download/{token}/"): "signed",
    ("get", "/api/files/{pk}/"): "file",
    ("get", "/api/import/status/"): "job",
    ("get", "/api/imports/preview/"): "file",
    ("get", "/api/imports/"): "own",
    ("get", "/api/imports/{pk}/"): "job",
    ("post", "/api/imports/{pk}/cancel/"): "job",
    ("get", "/api/imports/{pk}/errors/"): "job",
    ("post", "/api/imports/{pk}/pause/"): "job",
    ("post", "/api/imports/{pk}/resume/"): "job",
    ("post", "/api/imports/{pk}/retry/"): "job",
    ("get", "/api/imports/metrics/"): "staff",
    ("get", "/api/imports/health/"): "staff",
    ("post", "/api/mymodels/import/"): "file in body",
    ("post", "/api/picky/import/"): "file in body",
    ("post", "/api/picky/import/{job_id}/cancel/"): "job",
    ("post", "/api/batches/import/"): "file in body",
    ("post", "/api/stations/import/"): "file in body",
    ("post", "/api/dynamic/import/"): "file in body",
}
#: Of the host project, with permissions of its own; and the public schema.
HOSTS = {"/api/mymodels/", "/api/mymodels/{pk}/", "/api/schema/"}


def addresses() -> Iterator[tuple[str, str]]:
    """Method and address of everything below /api/."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, URLPattern]]:
        for each in resolver.url_patterns:
            text = prefix + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, text)
            else:
                yield text, each

    from django.contrib.admindocs.views import simplify_regex

    for text, pattern in walk(get_resolver(), ""):
        address = simplify_regex(text).replace("<", "{").replace(">", "}").replace("str:", "")
        if not address.startswith("/api/") or address in HOSTS:
            continue
        view: Any = pattern.callback
        methods = getattr(view, "actions", None)
        if not methods:
            methods = [name for name in view.view_class.http_method_names if hasattr(view.view_class, name)]
        for method in methods:
            if method not in ("options", "head"):
                yield method, address


def test_every_address_is_attacked() -> None:
    assert set(addresses()) == set(ATTACKS)


@pytest.fixture
def file(stored_file: Callable[..., FileModel]) -> FileModel:
    """Of user A."""
    return stored_file(CSV.decode())


@pytest.fixture
def job(api: APIClient, file: FileModel) -> ImportJob:
    """Of user A, queued."""
    response = api.post("/api/picky/import/", {"file_id": file.pk})
    return ImportJob.objects.get(pk=response.data["import_job_id"])


def attack(client: APIClient, method: str, address: str, file_id: Any, job_id: Any) -> Any:
    """Send the request with these ids, wherever this address takes them."""
    address = address.format(pk=job_id if "imports" in address else file_id, job_id=job_id, token="x")  # noqa: S106
    query = {"/api/import/status/": {"task_id": job_id}, "/api/imports/preview/": {"file_id": file_id}}.get(address)
    if query is not None:
        return client.get(address, query)
    body: dict[str, Any] = {"file_id": file_id}
    if address.endswith("confirm/"):
        body = {"files": [entry(file_id, CSV)]}
    return getattr(client, method)(address, body if method == "post" else None)


@pytest.mark.parametrize(("method", "address"), ATTACKS)
def test_nobody_gets_in_without_a_login(method: str, address: str, file: FileModel, job: ImportJob) -> None:
    response = attack(APIClient(), method, address, file.pk, job.pk)
    assert response.status_code == (403 if ATTACKS[method, address] == "signed" else 401)


@pytest.mark.parametrize(("method", "address"), ATTACKS)
def test_what_is_anothers_is_answered_as_what_is_not_there(
    method: str, address: str, file: FileModel, job: ImportJob, other_api: APIClient, api: APIClient
) -> None:
    kind = ATTACKS[method, address]
    foreign = attack(other_api, method, address, file.pk, job.pk)
    unknown = attack(other_api, method, address, 999_999, uuid.uuid4())
    texts = [
        response.content.decode().replace(str(file.pk), "#").replace("999999", "#") for response in (foreign, unknown)
    ]
    assert foreign.status_code == unknown.status_code
    assert texts[0] == texts[1]
    if kind in ("file", "job"):
        assert foreign.status_code == 404
        # The job has not run, so that there is nothing to retry.
        own = attack(api, method, address, file.pk, job.pk).status_code
        assert own == (409 if address.endswith("retry/") else 200)
    elif kind == "staff":
        assert foreign.status_code == 403
    elif kind == "file in body":
        assert foreign.status_code == (200 if address.endswith("confirm/") else 400)
        if address.endswith("confirm/"):
            assert foreign.json()["files"][0]["error"]["code"] == "not_found"
    elif method == "get" and kind == "own":
        assert foreign.json()["results"] == []
    assert ImportJob.objects.count() == 1
    job.refresh_from_db()
    assert str(file.file_path) not in texts[0]
    assert User.objects.count() == 2


def test_the_cancel_of_another_user_changes_nothing(job: ImportJob, other_api: APIClient) -> None:
    for (method, address), kind in ATTACKS.items():
        if kind == "job":
            attack(other_api, method, address, 1, job.pk)
    job.refresh_from_db()
    assert (job.status, job.cancel_requested) == ("queued", False)

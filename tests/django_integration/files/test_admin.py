"""Files in the admin: facts, and a download."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_integration.files.models import FileModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(folder: Path, user: User) -> FileModel:
    folder.mkdir()
    (folder / "1.csv").write_bytes(b"a,b\n")
    return FileModel.objects.create(
        purpose="p", file_name="<b>.csv", file_path="1.csv", uploaded_by=user, is_confirmed=True
    )


@pytest.fixture
def staff(client: Client) -> Client:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_filemodel"))
    client.force_login(viewer)
    return client


def test_records_can_be_read_and_nothing_else(staff: Client, file: FileModel) -> None:
    page = staff.get(reverse("admin:rowmill_files_filemodel_change", args=[file.pk]))
    assert page.status_code == 200
    assert b"1.csv" in page.content
    assert b"<b>.csv" not in page.content
    assert b"/api/files/download/" not in page.content
    assert staff.get(reverse("admin:rowmill_files_filemodel_changelist") + "?q=b").status_code == 200
    assert staff.get(reverse("admin:rowmill_files_filemodel_add")).status_code == 403
    assert staff.post(reverse("admin:rowmill_files_filemodel_delete", args=[file.pk])).status_code == 403
    staff.post(reverse("admin:rowmill_files_filemodel_change", args=[file.pk]), {"file_name": "x"})
    file.refresh_from_db()
    assert file.file_name == "<b>.csv"


def test_a_click_leads_to_a_fresh_link(staff: Client, file: FileModel) -> None:
    response = staff.get(reverse("admin:rowmill_files_filemodel_download", args=[file.pk]))
    assert response.status_code == 302
    download = Client().get(response["Location"])
    assert b"".join(download) == b"a,b\n"


def test_a_download_needs_the_permission_and_a_confirmed_file(client: Client, staff: Client, file: FileModel) -> None:
    address = reverse("admin:rowmill_files_filemodel_download", args=[file.pk])
    FileModel.objects.update(is_confirmed=False)
    assert staff.get(address).status_code == 404
    FileModel.objects.update(is_confirmed=True)
    client.force_login(User.objects.create_user("other-staff", is_staff=True))
    assert client.get(address).status_code == 403
    client.logout()
    assert client.get(address)["Location"].startswith("/admin/login/")

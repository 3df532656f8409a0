"""Presign, PUT, confirm: on every storage, over real HTTP."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any
from urllib.parse import unquote

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from django_integration.files.arrival import verified
from django_integration.files.models import FileModel
from django_integration.files.services import confirming
from django_integration.files.storage import SourceChangedError, file_storage, file_url
from engine.config import EngineConfig
from engine.storage import open_location
from tests.django_integration.files.conftest import Place, entry, stored, stored_keys
from tests.django_integration.files.http import get, put, send

pytestmark = pytest.mark.django_db(transaction=True)

CSV = b"name,email\nJane,jane@example.com\n"
OTHER_CSV = b"name,email\nJohn,john@example.com\n"
MIB = 1024 * 1024


def test_a_file_is_announced_put_and_confirmed_as_the_guide_says(place: Place) -> None:
    presigned = place.presign(file_name="employees.csv")
    assert presigned["method"] == "PUT"
    assert presigned["multipart"] is None
    assert presigned["presigned_url"].startswith("http://")
    assert put(presigned["presigned_url"], CSV).status == 200

    file = FileModel.objects.get(pk=presigned["file_id"])
    assert not file.is_confirmed
    answer = place.confirm(file.pk, CSV)
    assert answer == {
        "file_id": file.pk,
        "status": "confirmed",
        "is_confirmed": True,
        "file_name": "employees.csv",
        "size": len(CSV),
        "checksum": hashlib.sha256(CSV).hexdigest(),
        "error": None,
    }
    file.refresh_from_db()
    assert (file.is_confirmed, file.size, file.file_name) == (True, len(CSV), "employees.csv")
    assert file.confirmed_at is not None
    assert file.etag == file_storage().stat(file.file_path).etag
    assert stored(file) == CSV


def test_the_engine_opens_the_file_by_its_address(place: Place, settings: Any) -> None:
    file = place.confirmed(CSV)
    config = EngineConfig(s3_endpoint_url=getattr(settings, "FILES_S3_ENDPOINT_URL", None))
    storage, key = open_location(file_url(file), config)
    assert storage.read_range(key, 0, len(CSV), etag=file.etag) == CSV


def test_the_key_is_made_by_the_server_and_says_nothing_of_the_name(place: Place) -> None:
    presigned = place.presign(file_name="../../etc/Personal Übersicht.CSV")
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert re.fullmatch(rf"uploads/files/employee_import/{uuid}\.csv", presigned["file_path"])
    assert presigned["file_name"] == "Personal Übersicht.CSV"
    assert place.upload(presigned, CSV).status == 200
    assert stored_keys() == [presigned["file_path"]]


def test_a_confirmed_file_is_downloaded_as_an_attachment(place: Place) -> None:
    name = 'Müller "A"; x=é.csv'
    file = place.confirmed(CSV, file_name=name)
    url = place.api.get(f"/api/files/{file.pk}/").json()["url"]
    answer = get(url)
    assert (answer.status, answer.body) == (200, CSV)
    assert answer.headers["content-length"] == str(len(CSV))
    assert answer.headers["content-type"] == "application/octet-stream"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=\"M_ller _A__ x__.csv\"; filename*=UTF-8''")
    assert unquote(disposition.partition("UTF-8''")[2]) == name


def test_every_look_at_a_file_gives_a_fresh_link(place: Place, settings: Any) -> None:
    file = place.confirmed(CSV)
    lasting = settings.IMPORT_RESULT_PRESIGN_EXPIRES = 600
    assert get(place.api.get(f"/api/files/{file.pk}/").json()["url"]).status == 200
    settings.IMPORT_RESULT_PRESIGN_EXPIRES = 1
    old = place.api.get(f"/api/files/{file.pk}/").json()["url"]
    time.sleep(2.1)
    settings.IMPORT_RESULT_PRESIGN_EXPIRES = lasting
    fresh = place.api.get(f"/api/files/{file.pk}/").json()["url"]
    assert fresh != old
    if place.kind != "moto":  # which checks no expiry
        assert get(old).status == 403
    assert get(fresh).status == 200


def test_a_link_for_download_is_none_for_upload_and_none_for_another_file(place: Place) -> None:
    if place.kind == "moto":
        pytest.skip("moto checks no signatures")
    file, other = place.confirmed(CSV), place.confirmed(OTHER_CSV)
    url = place.api.get(f"/api/files/{file.pk}/").json()["url"]
    assert put(url, b"x").status in (403, 405)
    assert send("DELETE", url).status in (403, 405)
    assert stored(file) == CSV
    for changed in (
        url.replace(file.file_path, other.file_path),
        url[:-8] + ("b" if url[-8] == "a" else "a") + url[-7:],
    ):
        assert changed == url or get(changed).status == 403


def test_an_upload_link_expires(place: Place, settings: Any) -> None:
    if place.kind == "moto":
        pytest.skip("moto checks no expiry")
    settings.FILES_UPLOAD_EXPIRES = 1
    presigned = place.presign()
    time.sleep(2.1)
    assert place.upload(presigned, CSV).status == 403
    assert stored_keys() == []


def test_a_tampered_upload_link_is_refused(place: Place) -> None:
    if place.kind == "moto":
        pytest.skip("moto checks no signatures")
    url: str = place.presign()["presigned_url"]
    other: str = place.presign()["presigned_url"]
    for position in (len(url) // 2, len(url) - 3):
        changed = url[:position] + ("A" if url[position] != "A" else "B") + url[position + 1 :]
        assert put(changed, CSV).status in (400, 403, 404)
    if place.kind == "juicefs":
        signature = other.rpartition("X-Amz-Signature=")[2]
        assert put(url.rpartition("X-Amz-Signature=")[0] + "X-Amz-Signature=" + signature, CSV).status == 403
        assert put(url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000"), CSV).status == 403
    assert stored_keys() == []


def test_an_upload_link_lives_fifteen_minutes_at_most(place: Place, settings: Any) -> None:
    settings.FILES_UPLOAD_EXPIRES = 100_000
    presigned = place.presign()
    if place.kind != "local":
        assert "X-Amz-Expires=900&" in presigned["presigned_url"] + "&"
    expires_at = parse_datetime(presigned["expires_at"])
    assert expires_at is not None
    assert 890 < (expires_at - timezone.now()).total_seconds() <= 900


def test_an_announced_size_is_the_only_one_that_can_be_uploaded(place: Place) -> None:
    if place.kind == "moto":
        pytest.skip("moto checks no signatures")
    presigned = place.presign(size=len(CSV))
    assert place.upload(presigned, CSV + b"more").status in (400, 403)
    assert place.upload(presigned, CSV[:-1]).status in (400, 403)
    assert stored_keys() == []
    assert place.upload(presigned, CSV).status == 200
    assert place.confirm(presigned["file_id"], CSV)["is_confirmed"]


def test_an_announced_content_type_is_to_be_sent(place: Place) -> None:
    presigned = place.presign(content_type="text/csv; charset=utf-8")
    assert presigned["headers"] == {"Content-Type": "text/csv"}
    if place.kind == "juicefs":
        assert put(presigned["presigned_url"], CSV, {"Content-Type": "text/html"}).status == 403
    assert place.upload(presigned, CSV).status == 200
    assert place.confirm(presigned["file_id"], CSV)["is_confirmed"]
    assert FileModel.objects.get().content_type == "text/csv"


def test_an_upload_may_be_repeated_until_it_is_confirmed(place: Place) -> None:
    presigned = place.presign()
    assert place.upload(presigned, OTHER_CSV).status == 200
    assert place.upload(presigned, CSV).status == 200
    assert place.confirm(presigned["file_id"], CSV)["is_confirmed"]


def test_a_confirmed_file_is_never_read_in_another_version(place: Place) -> None:
    presigned = place.presign()
    place.upload(presigned, CSV)
    place.confirm(presigned["file_id"], CSV)
    file = FileModel.objects.get()
    again = place.upload(presigned, OTHER_CSV)
    storage = file_storage()
    if place.kind == "local":
        assert again.status == 409
        assert stored(file) == CSV
        storage.write(file.file_path, OTHER_CSV)
    with pytest.raises(SourceChangedError):
        storage.read_range(file.file_path, 0, len(CSV), etag=file.etag)
    # And the record does not follow: neither by the new content nor by another checksum.
    assert place.confirm(file.pk, OTHER_CSV)["error"]["code"] == "already_confirmed"
    file.refresh_from_db()
    assert file.checksum == hashlib.sha256(CSV).hexdigest()


def test_confirming_twice_is_harmless_and_reads_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.confirmed(CSV)
    confirmed_at = file.confirmed_at
    monkeypatch.setattr("django_integration.files.services.confirming.verified", None)
    answer = place.confirm(file.pk, CSV, checksum=hashlib.sha256(CSV).hexdigest().upper())
    assert (answer["status"], answer["is_confirmed"], answer["error"]) == ("confirmed", True, None)
    file.refresh_from_db()
    assert file.confirmed_at == confirmed_at


def test_a_confirmed_file_with_another_checksum_or_size_is_an_error_and_stays_confirmed(place: Place) -> None:
    file = place.confirmed(CSV)
    for given in ({"checksum": "0" * 64}, {"size": 1}):
        answer = place.confirm(file.pk, CSV, **given)
        assert (answer["status"], answer["is_confirmed"]) == ("failed", True)
        assert answer["error"]["code"] == "already_confirmed"


def test_what_is_not_as_announced_can_be_corrected(place: Place) -> None:
    presigned = place.presign()
    file_id = presigned["file_id"]
    assert place.confirm(file_id, CSV)["error"]["code"] == "missing"
    place.upload(presigned, CSV)
    answer = place.confirm(file_id, OTHER_CSV)
    assert (answer["status"], answer["is_confirmed"]) == ("failed", False)
    assert answer["error"]["code"] == "checksum_mismatch"
    assert place.confirm(file_id, CSV + b"x")["error"]["code"] == "size_mismatch"
    assert place.confirm(file_id, CSV, size=1)["error"]["code"] == "size_mismatch"
    assert not FileModel.objects.get().is_confirmed
    assert place.confirm(file_id, CSV)["is_confirmed"]


def test_an_empty_upload_is_no_file(place: Place) -> None:
    presigned = place.presign()
    assert place.upload(presigned, b"").status == 200
    assert place.confirm(presigned["file_id"], b"")["error"]["code"] == "empty"


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"%PDF-1.7\n", b"MZ\x90\0\3\0\0\0", b"<!DOCTYPE html><p>", b"PK\x03\x04\x14\0"],
    ids=["png", "pdf", "program", "html", "excel"],
)
def test_what_only_calls_itself_a_csv_is_refused_and_removed(place: Place, content: bytes) -> None:
    presigned = place.presign(content_type="text/csv")
    assert place.upload(presigned, content).status == 200
    answer = place.confirm(presigned["file_id"], content)
    assert (answer["is_confirmed"], answer["error"]["code"]) == (False, "wrong_type")
    assert stored_keys() == []


def test_a_workbook_passes_where_the_purpose_allows_it(place: Place, settings: Any) -> None:
    settings.FILES_PURPOSES = {"employee_import": {"extensions": [".csv", ".xlsx"]}}
    workbook = b"PK\x03\x04\x14\0\6\0"
    assert place.confirmed(workbook, file_name="e.xlsx").file_path.endswith(".xlsx")
    presigned = place.presign(file_name="e.xlsx")
    place.upload(presigned, CSV)
    assert place.confirm(presigned["file_id"], CSV)["error"]["code"] == "wrong_type"


def test_what_is_larger_than_the_purpose_allows_is_never_confirmed(place: Place, settings: Any) -> None:
    settings.FILES_PURPOSES = {"employee_import": {"max_bytes": 10}}
    presigned = place.presign()
    assert place.upload(presigned, CSV).status == (413 if place.kind == "local" else 200)
    answer = place.confirm(presigned["file_id"], CSV)
    assert answer["error"]["code"] == ("missing" if place.kind == "local" else "too_large")
    assert stored_keys() == []


def test_every_file_of_a_request_gets_an_answer_of_its_own(place: Place) -> None:
    good, bad, missing = place.presign(), place.presign(), place.presign()
    place.upload(good, CSV)
    place.upload(bad, OTHER_CSV)
    entries = [entry(each["file_id"], CSV) for each in (bad, good, missing, good)] + [entry(10**9, CSV)]
    answers = place.api.post("/api/files/confirm/", {"files": entries}).json()["files"]
    assert [answer["file_id"] for answer in answers] == [each["file_id"] for each in entries]
    codes = [answer["error"] and answer["error"]["code"] for answer in answers]
    assert codes == ["checksum_mismatch", None, "missing", None, "not_found"]


def test_a_replacement_during_the_check_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    presigned = place.presign()
    place.upload(presigned, CSV)

    def verified_then_replaced(*args: Any, **kwargs: Any) -> Any:
        found = verified(*args, **kwargs)
        file_storage().write(presigned["file_path"], OTHER_CSV)
        return found

    monkeypatch.setattr(confirming, "verified", verified_then_replaced)
    assert place.confirm(presigned["file_id"], CSV)["error"]["code"] == "changed"
    assert not FileModel.objects.get().is_confirmed


def test_somebody_elses_upload_is_not_confirmed(place: Place, other_api: APIClient) -> None:
    presigned = place.presign()
    place.upload(presigned, CSV)
    response = other_api.post("/api/files/confirm/", {"files": [entry(presigned["file_id"], CSV)]})
    (answer,) = response.json()["files"]
    assert answer["error"]["code"] == "not_found"
    assert (answer["file_name"], answer["size"], answer["checksum"]) == (None, None, None)
    assert not FileModel.objects.get().is_confirmed


# Uploads in parts


def parts_of(settings: Any) -> bytes:
    settings.FILES_MULTIPART_THRESHOLD_BYTES = 5 * MIB
    settings.FILES_MULTIPART_PART_BYTES = 5 * MIB
    return (b"name,email\n" + b"x" * 999 + b",\n") * (6 * MIB // 1012)


@pytest.mark.parametrize("with_etags", [True, False])
def test_a_large_file_is_uploaded_in_parts(s3_place: Place, settings: Any, with_etags: bool) -> None:
    data = parts_of(settings)
    presigned = s3_place.presign(size=len(data))
    assert presigned["presigned_url"] is None
    multipart = presigned["multipart"]
    assert multipart["part_size"] == 5 * MIB
    assert [part["part_number"] for part in multipart["parts"]] == [1, 2]
    assert sum(part["size"] for part in multipart["parts"]) == len(data)
    etags = []
    for part in multipart["parts"]:
        start = (part["part_number"] - 1) * multipart["part_size"]
        answer = put(part["presigned_url"], data[start : start + part["size"]])
        assert answer.status == 200
        etags.append({"part_number": part["part_number"], "etag": answer.headers["etag"]})
    given = {"parts": etags} if with_etags else {}
    assert s3_place.confirm(presigned["file_id"], data, **given)["is_confirmed"]
    file = FileModel.objects.get()
    assert (file.upload_id, stored(file)) == ("", data)
    assert s3_place.confirm(presigned["file_id"], data, **given)["is_confirmed"]


def test_parts_that_are_missing_or_wrong_can_still_be_sent(s3_place: Place, settings: Any) -> None:
    data = parts_of(settings)
    presigned = s3_place.presign(size=len(data))
    file_id, (first, second) = presigned["file_id"], presigned["multipart"]["parts"]
    assert s3_place.confirm(file_id, data)["error"]["code"] == "size_mismatch"
    etag = put(first["presigned_url"], data[: first["size"]]).headers["etag"]
    assert s3_place.confirm(file_id, data)["error"]["code"] == "size_mismatch"
    wrong: list[dict[str, Any]] = [{"part_number": 1, "etag": "0" * 32}]
    assert s3_place.confirm(file_id, data, parts=wrong)["error"]["code"] == "wrong_parts"
    absent = [{"part_number": 1, "etag": etag}, {"part_number": 2, "etag": etag}]
    assert s3_place.confirm(file_id, data, parts=absent)["error"]["code"] == "wrong_parts"
    put(second["presigned_url"], data[first["size"] :])
    assert s3_place.confirm(file_id, data)["is_confirmed"]


def test_an_upload_whose_completion_was_not_recorded_is_confirmed_all_the_same(s3_place: Place, settings: Any) -> None:
    data = parts_of(settings)
    presigned = s3_place.presign(size=len(data))
    for part in presigned["multipart"]["parts"]:
        start = (part["part_number"] - 1) * 5 * MIB
        put(part["presigned_url"], data[start : start + part["size"]])
    assert s3_place.confirm(presigned["file_id"], data, checksum="0" * 64)["error"]["code"] == "checksum_mismatch"
    FileModel.objects.update(upload_id=presigned["multipart"]["upload_id"])
    assert s3_place.confirm(presigned["file_id"], data)["is_confirmed"]


def test_a_part_has_exactly_its_size(juicefs_place: Place, settings: Any) -> None:
    data = parts_of(settings)
    part = juicefs_place.presign(size=len(data))["multipart"]["parts"][1]
    assert put(part["presigned_url"], data[: part["size"] - 1]).status == 403
    assert put(part["presigned_url"], data[: part["size"]]).status == 200


def test_a_local_folder_takes_large_files_by_one_put(local_place: Place, settings: Any) -> None:
    data = parts_of(settings)
    presigned = local_place.presign(size=len(data))
    assert presigned["multipart"] is None
    assert local_place.upload(presigned, data).status == 200
    assert local_place.confirm(presigned["file_id"], data)["is_confirmed"]


def test_links_are_never_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="django_integration"), caplog.at_level("DEBUG", logger="engine"):
        presigned = place.presign()
        place.upload(presigned, CSV)
        place.confirm(presigned["file_id"], CSV)
        place.api.get(f"/api/files/{presigned['file_id']}/")
    ours = [record for record in caplog.records if record.name.startswith(("django_integration", "engine"))]
    assert ours
    for record in ours:
        text = repr(record.__dict__)
        assert "Signature" not in text
        assert "http" not in text
        assert presigned["presigned_url"][-40:] not in text


def test_a_checksum_of_another_kind_is_told_which_is_wanted(place: Place) -> None:
    """The MD5 of the file, say."""
    entry = {"file_id": 1, "checksum": "d41d8cd98f00b204e9800998ecf8427e", "size": 1}
    answer = place.api.post("/api/files/confirm/", {"files": [entry]})
    assert answer.status_code == 400
    assert "64 hexadecimal digits" in str(answer.json())

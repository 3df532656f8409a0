"""Sources other than plain CSV through the HTTP API: the same rows; hostile files fail their job with a clear error."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob
from tests.django_integration.imports.test_api import start
from tests.sources import zipped

MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]
CSV = b"name,email\nAna,a@x\nBo,\n"


def parquet() -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"name": ["Ana", "Bo"], "email": ["a@x", None]}), target)
    return target.getvalue()


def workbook() -> bytes:
    target = io.BytesIO()
    book = openpyxl.Workbook()
    book.create_sheet("People")  # behind an empty one
    for row in (["name", "email"], ["Ana", "a@x"], ["Bo", None]):
        book["People"].append(row)
    book.save(target)
    return target.getvalue()


SOURCES = {
    "people.xlsx": workbook(),
    "people.csv.gz": gzip.compress(CSV, mtime=0),
    "people.csv.zst": zstd.compress(CSV.decode().encode("utf-16")),
    "people.zip": zipped({"people.csv": CSV}),
    "people.ndjson": b'{"name": "Ana", "email": "a@x"}\n{"name": "Bo"}\n',
    "people.parquet": parquet(),
}


@pytest.fixture
def stored(stored_file: MakeFile, tmp_path: Path) -> Callable[[str, bytes], FileModel]:
    def make(name: str, data: bytes) -> FileModel:
        file = stored_file(file_name=name)
        (tmp_path / "media" / file.file_path).write_bytes(data)
        return file

    return make


@pytest.mark.parametrize(("name", "data"), SOURCES.items(), ids=SOURCES)
def test_every_source_gives_the_rows_of_the_csv(
    api: APIClient,
    stored: Callable[[str, bytes], FileModel],
    run_to_end: RunToEnd,
    tmp_path: Path,
    name: str,
    data: bytes,
) -> None:
    file = stored(name, data)
    shown = api.get("/api/imports/preview/", {"file_id": file.pk}).json()
    assert (shown["header"], shown["rows"]) == (["name", "email"], [["Ana", "a@x"], ["Bo", ""]])
    job = run_to_end(start(api, file))
    assert (job.status, job.success_count, job.failure_count) == ("succeeded", 2, 0)
    assert b"Ana,a@x," in (tmp_path / "media" / job.success_key).read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("people.csv.gz", gzip.compress(b"a,b\n" * 10_000_000, mtime=0), "source_too_large"),
        ("people.csv.gz", gzip.compress(CSV, mtime=0)[:-4], "source_damaged"),
        ("people.zip", zipped({"a.csv": CSV, "b.csv": CSV}), "source_format"),
        ("people.csv.gz", gzip.compress(b"<!doctype html>", mtime=0), "source_binary"),
    ],
)
def test_a_hostile_source_fails_its_job_with_a_code_and_a_message(
    api: APIClient,
    stored: Callable[[str, bytes], FileModel],
    run_to_end: RunToEnd,
    name: str,
    data: bytes,
    code: str,
) -> None:
    job = run_to_end(start(api, stored(name, data)))
    assert (job.status, job.error_code, job.processed_rows) == ("failed", code, 0)
    status = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert name in status["error_message"]


def test_the_limits_are_settings(
    api: APIClient, stored: Callable[[str, bytes], FileModel], run_to_end: RunToEnd, settings: Any
) -> None:
    file = stored("people.csv.gz", gzip.compress(CSV, mtime=0))
    settings.IMPORT_MAX_UNPACKED_BYTES = 5
    bridge.forget_parts()
    assert run_to_end(start(api, file)).error_code == "source_too_large"


def test_a_workbook_by_its_options_and_what_was_found_out_of_it(
    api: APIClient, stored: Callable[[str, bytes], FileModel], run_to_end: RunToEnd
) -> None:
    file = stored("people.xlsx", workbook())
    job = run_to_end(start(api, file, sheet="People", table="A1:B2"))
    assert (job.status, job.success_count) == ("succeeded", 1)
    details = api.get(f"/api/imports/{job.pk}/").json()["details"]
    assert (details["kind"], details["sheet"], details["header_row"]) == ("xlsx", "People", 1)
    failed = run_to_end(start(api, file, sheet="Persons"))
    assert (failed.status, failed.error_code) == ("failed", "invalid_option")
    assert '"People"' in failed.error_message

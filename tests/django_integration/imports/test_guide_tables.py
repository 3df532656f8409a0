"""Every option and every setting of the usage guide's two tables governs what the guide says of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openpyxl
import pytest
from rest_framework.test import APIClient

from django_integration.conf import import_settings
from django_integration.files.models import FileModel
from django_integration.files.storage import engine_config, file_storage
from django_integration.imports import bridge, services
from django_integration.imports.models import ImportJob

MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]
TABLE = "name,email\nAna,a@x\nBo,\nCy,c@x\nDi,\nEd,e@x\n"


def start(api: APIClient, file: FileModel, **options: Any) -> ImportJob:
    answer = api.post("/api/mymodels/import/", {"file_id": file.pk, "options": options})
    assert answer.status_code == 202, answer.data
    return ImportJob.objects.get(pk=answer.data["import_job_id"])


def result(job: ImportJob, kind: str) -> bytes:
    key = getattr(job, f"{kind}_key")
    return file_storage().read_range(key, 0, file_storage().stat(key).size_bytes)


def test_the_defaults_are_the_guides() -> None:
    options = services.checked_options({})
    assert (options.batch_size, options.count_total_first, options.header_rows) == (500, True, 1)
    assert (options.output_format, options.create_result_file_records, options.handler_path) == ("csv", True, None)
    settings = import_settings()
    assert (settings.default_batch_size, settings.progress_db_flush_every_n_batches) == (500, 5)
    assert (settings.temp_dir, settings.result_presign_expires) == (None, 3600)
    assert (settings.s3_prefix, settings.enable_result_files) == ("uploads/imports/", True)


def test_batch_size_is_the_step_of_progress(api: APIClient, stored_file: MakeFile, settings: Any) -> None:
    def steps(**options: Any) -> list[int]:
        job = start(api, stored_file(TABLE), **options)
        parts, seen = bridge.process_parts(), []
        record = parts.progress.record

        def noted(*given: Any, **named: Any) -> bool | None:
            seen.append(given[3].processed_rows)
            return record(*given, **named)

        parts.progress.record = noted  # type: ignore[method-assign]
        parts.steps.plan(str(job.pk))
        parts.steps.chunk(str(job.pk), 0)
        bridge.forget_parts()
        return sorted({count for count in seen if count})

    assert steps(batch_size=5) == [5]
    settings.IMPORT_DEFAULT_BATCH_SIZE = 4
    assert ImportJob.objects.latest("created_at").options["batch_size"] == 5
    steps()
    assert ImportJob.objects.latest("created_at").options["batch_size"] == 4


@pytest.mark.parametrize("count_first", [True, False])
def test_count_total_first_decides_whether_the_total_is_there_before_a_row_runs(
    api: APIClient, stored_file: MakeFile, messages: list[tuple[Any, ...]], count_first: bool, monkeypatch: Any
) -> None:
    job = start(api, stored_file(TABLE), count_total_first=count_first, chunk_size=2)
    known: list[int | None] = []
    send = bridge.TaskExecutor.send_chunks

    def noting(self: Any, job_id: str, chunk_indexes: Any) -> None:
        known.append(ImportJob.objects.get(pk=job_id).total_rows)
        send(self, job_id, chunk_indexes)

    monkeypatch.setattr(bridge.TaskExecutor, "send_chunks", noting)
    bridge.process_parts().steps.plan(str(job.pk))
    assert known[0] == (5 if count_first else None)
    job.refresh_from_db()
    assert job.total_rows == 5


@pytest.mark.parametrize(("header_rows", "success", "failure"), [(0, 4, 2), (1, 3, 2), (3, 2, 1)])
def test_header_rows_are_skipped(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, header_rows: int, success: int, failure: int
) -> None:
    job = run_to_end(start(api, stored_file(TABLE), header_rows=header_rows))
    assert (job.status, job.success_count, job.failure_count) == ("succeeded", success, failure)


def test_output_format_is_that_of_both_files_and_they_say_the_same(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    plain = run_to_end(start(api, stored_file(TABLE)))
    assert result(plain, "failed").decode() == (
        "col_0,col_1,import_error\r\nBo,,Email is required\r\nDi,,Email is required\r\n"
    )
    excel = run_to_end(start(api, stored_file(TABLE), output_format="xlsx"))
    for kind in ("success", "failed"):
        sheet = openpyxl.load_workbook(io.BytesIO(result(excel, kind))).active
        assert sheet is not None
        cells = [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]
        lines = result(plain, kind).decode().splitlines()
        assert len(cells) == len(lines)
        assert [row[0] for row in cells] == [line.split(",")[0] for line in lines]


def test_results_lie_below_the_prefix(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, settings: Any, tmp_path: Path
) -> None:
    settings.IMPORT_S3_PREFIX = "elsewhere/results"
    job = run_to_end(start(api, stored_file(TABLE)))
    assert job.success_key.startswith(f"elsewhere/results/{job.pk}/")
    assert (tmp_path / "media" / job.failed_key).is_file()


def test_links_of_results_live_as_long_as_the_setting_says(
    api: APIClient,
    stored_file: MakeFile,
    run_to_end: RunToEnd,
    settings: Any,
    moto_endpoint: str,
    s3_bucket: Callable[[str], str],
) -> None:
    settings.FILES_S3_ENDPOINT_URL = moto_endpoint
    settings.FILES_STORAGE_URL = f"s3://{s3_bucket(moto_endpoint)}"
    settings.IMPORT_RESULT_PRESIGN_EXPIRES = 77
    bridge.forget_parts()
    file = stored_file(TABLE)
    file_storage().write(file.file_path, TABLE.encode())
    job = run_to_end(start(api, file))
    files = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()["result_files"]
    for each in files.values():
        assert parse_qs(urlsplit(each["url"]).query)["X-Amz-Expires"] == ["77"]


def test_the_temporary_folder_is_the_engines(settings: Any, tmp_path: Path) -> None:
    """What the engine does there is tested there."""
    assert engine_config().temp_dir is None
    settings.IMPORT_TEMP_DIR = str(tmp_path)
    assert engine_config().temp_dir == str(tmp_path)

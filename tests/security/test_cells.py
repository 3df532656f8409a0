"""Attacks by way of cells: formulas for whoever opens a result, lines for whoever reads a log."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.files.storage import file_storage
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob

pytestmark = pytest.mark.django_db

START = "/api/dynamic/import/"
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", '=HYPERLINK("http://x","y")']
NUMBERS = ["+49301234", "-12.5", "1e5"]

MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]


def imported(api: APIClient, file: FileModel, run_to_end: RunToEnd, **options: Any) -> ImportJob:
    response = api.post(START, {"file_id": file.pk, "options": options})
    assert response.status_code == 202, response.data
    return run_to_end(ImportJob.objects.get(pk=response.data["import_job_id"]))


def content(key: str) -> bytes:
    storage = file_storage()
    return storage.read_range(key, 0, storage.stat(key).size_bytes)


def table(cells: list[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["cell", "n"], *([cell, "1"] for cell in cells)])
    return out.getvalue()


def test_no_cell_of_an_excel_result_is_a_formula(api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd) -> None:
    job = imported(api, stored_file(table(FORMULAS)), run_to_end, output_format="xlsx")
    for key in (job.success_key, job.failed_key):
        book = openpyxl.load_workbook(io.BytesIO(content(key)))
        cells = [cell for row in book.active.iter_rows() for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "inlineStr", "n"}
        assert all(cell.data_type != "f" for cell in cells)
        assert all(cell.value is None or isinstance(cell.value, str) for cell in cells)


def test_formulas_in_csv_results_are_disarmed_where_the_setting_says_so(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, settings: Any
) -> None:
    settings.IMPORT_ESCAPE_FORMULAE = True
    bridge.forget_parts()
    job = imported(api, stored_file(table(FORMULAS + NUMBERS)), run_to_end)
    rows = [
        row
        for key in (job.success_key, job.failed_key)
        for row in list(csv.reader(io.StringIO(content(key).decode(), newline="")))[1:]
    ]
    assert sorted(row[0] for row in rows) == sorted([f"'{cell}" for cell in FORMULAS] + NUMBERS)
    assert not any(cell[:1] in tuple("=@\t\r") for row in rows for cell in row)


def test_what_escapes_is_undone_on_the_next_upload_or_stays_as_it_is(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    """Off by default: the original data is the contract."""
    job = imported(api, stored_file(table(FORMULAS)), run_to_end)
    rows = [
        row[0]
        for key in (job.success_key, job.failed_key)
        for row in list(csv.reader(io.StringIO(content(key).decode(), newline="")))[1:]
    ]
    assert sorted(rows) == sorted(FORMULAS)


SECRET = "geheim-4711"  # noqa: S105
INJECTED = "x\r\nCRITICAL root: everything is fine"


@pytest.mark.parametrize("handler", ["refuse_odd", "write", "write_or_raise"])
def test_no_cell_comes_into_a_log(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, logged: list[str], handler: str, settings: Any
) -> None:
    path = "tests.django_integration.myapp.handlers"
    settings.IMPORT_ALLOWED_HANDLERS = [f"{path}.write", f"{path}.tell_the_cell"]
    options: dict[str, Any] = {} if handler == "refuse_odd" else {"handler_path": f"{path}.write"}
    if handler == "write_or_raise":
        options = {"handler_path": f"{path}.tell_the_cell"}
    file = stored_file(table([SECRET, INJECTED, f"{SECRET},{INJECTED}"]) + f'{SECRET},"unterminated\n')
    logged.clear()
    imported(api, file, run_to_end, **options)
    assert logged  # the trap works
    lines = [line for line in logged if not line.startswith(("(0.", "BEGIN", "COMMIT"))]  # SQL, for DEBUG only
    assert not [line for line in lines if SECRET in line or "CRITICAL root" in line]


def test_a_name_with_a_line_end_never_makes_a_second_line_in_a_log(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, logged: list[str]
) -> None:
    file = stored_file(file_name="a\r\nCRITICAL root: b.csv")
    file_storage().delete([file.file_path])
    response = api.post(START, {"file_id": file.pk, "options": {"note\r\nCRITICAL": INJECTED}})
    job = run_to_end(ImportJob.objects.get(pk=response.data["import_job_id"]))
    assert job.status == "failed"
    api.get("/api/import/status/", {"task_id": "x\r\nCRITICAL root: b"})
    assert logged
    assert not [line for line in logged if "\nCRITICAL" in line or "\rCRITICAL" in line]

"""Start, status, list, detail, cancel, row errors, preview: what they answer, and to whom."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge, services
from django_integration.imports.models import ImportJob
from tests.django_integration.myapp.models import SeenRow, Station

pytestmark = pytest.mark.django_db

START = "/api/picky/import/"
FIELDS = [
    "id", "file_id", "status", "celery_task_id", "created_by_id", "created_at", "started_at", "finished_at",
    "total_rows", "processed_rows", "success_count", "failure_count", "percentage", "result_files", "error_message",
]  # fmt: skip
MakeFile = Callable[..., FileModel]
RunToEnd = Callable[[ImportJob], ImportJob]


def start(client: APIClient, file: FileModel, url: str = START, **options: Any) -> ImportJob:
    response = client.post(url, {"file_id": file.pk, "options": options})
    assert response.status_code == 202, response.data
    return ImportJob.objects.get(pk=response.data["import_job_id"])


def test_a_start_answers_as_the_guide_has_it(
    api: APIClient, stored_file: MakeFile, messages: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    file = stored_file()
    with django_capture_on_commit_callbacks(execute=True):
        response = api.post(START, {"file_id": file.pk, "options": {"batch_size": 500}})
    assert response.status_code == 202
    assert list(response.json()) == ["import_job_id", "celery_task_id", "status", "created_at"]
    assert response.json()["status"] == "queued"
    assert response.json()["created_at"].endswith("Z")
    job_id = response.json()["import_job_id"]
    assert response.headers["Location"].endswith(f"/api/imports/{job_id}/")
    assert int(response.headers["Retry-After"]) >= 1
    assert messages == [(bridge.PLAN_TASK, job_id)]


def test_the_status_has_the_guides_fields_before_during_and_after(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, user: User
) -> None:
    job = start(api, stored_file(), url="/api/dynamic/import/")
    queued = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert list(queued) == FIELDS
    assert (queued["status"], queued["percentage"], queued["created_by_id"]) == ("queued", None, user.pk)
    assert queued["result_files"] == {
        "success_file": {"file_id": None, "url": None},
        "failed_file": {"file_id": None, "url": None},
    }
    run_to_end(job)
    ended = api.get("/api/import/status/", {"task_id": job.celery_task_id}).json()
    assert list(ended) == FIELDS
    assert (ended["status"], ended["total_rows"], ended["processed_rows"]) == ("succeeded", 2, 2)
    assert (ended["success_count"], ended["failure_count"], ended["percentage"]) == (1, 1, 100.0)
    for kind in ("success_file", "failed_file"):
        assert ended["result_files"][kind]["url"].startswith("http")
        record = FileModel.objects.get(pk=ended["result_files"][kind]["file_id"])
        assert record.is_confirmed
        assert record.uploaded_by == user


def test_the_result_files_hold_the_rows_and_come_through_the_links(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    job = run_to_end(start(api, stored_file("name,email\na,1\nb,2\nc,3\n"), url="/api/dynamic/import/"))
    files = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()["result_files"]
    tables = {}
    for kind, entry in files.items():
        answer = APIClient().get(entry["url"])
        assert "attachment" in answer.headers["Content-Disposition"]
        text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
        tables[kind] = list(csv.reader(io.StringIO(text, newline="")))
    assert tables["success_file"] == [["col_0", "col_1", "import_result"], ["b", "2", "{}"]]
    assert tables["failed_file"] == [["col_0", "col_1", "import_error"], ["a", "1", "odd"], ["c", "3", "odd"]]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": "many"}, "batch_size"),
        ({"count_total_first": 1}, "count_total_first"),
        ({"header_rows": -1}, "header_rows"),
        ({"output_format": "pdf"}, "output_format"),
        ({"create_result_file_records": "yes"}, "create_result_file_records"),
        ({"handler_path": "os.system"}, "handler_path"),
        ({"handler_path": "tests.django_integration.myapp.handlers.write"}, "handler_path"),
        ({"handler_path": 7}, "handler_path"),
        ({"delimiter": ",,"}, "delimiter"),
        ({"encoding": "klingon"}, "encoding"),
    ],
)
def test_a_bad_option_is_named_and_starts_nothing(
    api: APIClient, stored_file: MakeFile, options: dict[str, Any], name: str
) -> None:
    response = api.post(START, {"file_id": stored_file().pk, "options": options})
    assert response.status_code == 400
    assert list(response.data["options"]) == [name]
    assert name in str(response.data["options"][name][0])
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("body", [{}, {"file_id": "x"}, {"file_id": None}, {"file_id": 10**30}, {"file_id": -1}, []])
def test_a_bad_file_id_is_named(api: APIClient, body: Any) -> None:
    response = api.post(START, body)
    assert response.status_code == 400
    assert "file_id" in response.data or "non_field_errors" in response.data


def test_files_that_are_unconfirmed_foreign_missing_or_for_something_else_are_refused(
    api: APIClient, stored_file: MakeFile, other_user: User
) -> None:
    unconfirmed = stored_file(is_confirmed=False)
    foreign = stored_file(uploaded_by=other_user)
    elsewhere = stored_file(purpose="photo")
    answers = {}
    for name, file_id in [("none", 4711), ("foreign", foreign.pk), ("un", unconfirmed.pk), ("else", elsewhere.pk)]:
        response = api.post(START, {"file_id": file_id})
        assert response.status_code == 400
        answers[name] = str(response.data["file_id"][0])
    assert answers["none"].replace("4711", "#") == answers["foreign"].replace(str(foreign.pk), "#")
    assert "not confirmed" in answers["un"]
    assert "people_import" in answers["else"]
    assert not ImportJob.objects.exists()


def test_handlers_are_chosen_among_those_allowed_only(
    api: APIClient, stored_file: MakeFile, settings: Any, run_to_end: RunToEnd
) -> None:
    handlers = "tests.django_integration.myapp.handlers"
    own = start(api, stored_file(), handler_path=f"{handlers}.refuse_odd")
    assert run_to_end(own).failure_count == 1
    settings.IMPORT_ALLOWED_HANDLERS = [f"{handlers}.write"]
    listed = start(api, stored_file(), handler_path=f"{handlers}.write")
    assert listed.handler_path == f"{handlers}.write"


def test_the_view_may_choose_the_handler_by_the_user(
    client_of: Callable[..., APIClient], stored_file: MakeFile, user: User
) -> None:
    user.is_staff = True
    user.save()
    assert start(client_of(user), stored_file(), url="/api/dynamic/import/").handler_path.endswith("accept")
    user.is_staff = False
    assert start(client_of(user), stored_file(), url="/api/dynamic/import/").handler_path.endswith("refuse_odd")


def test_a_repeat_under_the_same_key_gives_the_same_job_and_another_body_a_conflict(
    client_of: Callable[..., APIClient], stored_file: MakeFile, user: User, other_user: User
) -> None:
    file = stored_file()
    client = client_of(user, HTTP_IDEMPOTENCY_KEY="k-1")
    first = client.post(START, {"file_id": file.pk})
    again = client.post(START, {"file_id": file.pk})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.data["import_job_id"] == again.data["import_job_id"]
    other = client.post(START, {"file_id": file.pk, "options": {"batch_size": 7}})
    assert other.status_code == 409
    assert "Idempotency-Key" in other.data["detail"]
    theirs = client_of(other_user, HTTP_IDEMPOTENCY_KEY="k-1")
    assert theirs.post(START, {"file_id": stored_file(uploaded_by=other_user).pk}).status_code == 202
    assert ImportJob.objects.count() == 2
    assert client_of(user, HTTP_IDEMPOTENCY_KEY="x" * 300).post(START, {"file_id": file.pk}).status_code == 400


def test_of_two_requests_at_once_under_the_same_key_one_makes_the_job(
    client_of: Callable[..., APIClient], stored_file: MakeFile, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"file_id": stored_file().pk}
    client = client_of(user, HTTP_IDEMPOTENCY_KEY="k-1")
    first = client.post(START, body).json()
    look = services._earlier
    looks: list[str] = []

    def too_early(*given: Any) -> ImportJob | None:
        """The first look of the second request comes before the first one's job is there."""
        looks.append("")
        return None if len(looks) == 1 else look(*given)

    monkeypatch.setattr(services, "_earlier", too_early)
    second = client.post(START, body)
    assert (second.status_code, second.json()) == (202, first)
    assert len(looks) == 2
    assert ImportJob.objects.count() == 1


def test_nobody_starts_anything_without_a_login(stored_file: MakeFile) -> None:
    file = stored_file()
    client = APIClient()
    assert client.post(START, {"file_id": file.pk}).status_code == 401
    for url in ("/api/import/status/?task_id=x", "/api/imports/", f"/api/imports/preview/?file_id={file.pk}"):
        assert client.get(url).status_code == 401


def test_another_user_finds_nothing_and_cancels_nothing(
    api: APIClient, other_api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    file = stored_file()
    job = start(api, file)
    for url in (
        f"/api/import/status/?task_id={job.pk}",
        f"/api/import/status/?task_id={job.celery_task_id}",
        f"/api/imports/{job.pk}/",
        f"/api/imports/{job.pk}/errors/",
        f"/api/imports/preview/?file_id={file.pk}",
    ):
        assert other_api.get(url).status_code == 404, url
        assert api.get(url).status_code == 200, url
    assert other_api.post(f"/api/imports/{job.pk}/cancel/").status_code == 404
    assert other_api.post(f"/api/picky/import/{job.pk}/cancel/").status_code == 404
    assert other_api.get("/api/imports/").json()["results"] == []
    job.refresh_from_db()
    assert not job.cancel_requested
    assert run_to_end(job).status == "succeeded"


def test_the_permission_opens_everybodys_jobs(
    client_of: Callable[..., APIClient], api: APIClient, stored_file: MakeFile
) -> None:
    job = start(api, stored_file())
    staff = User.objects.create_user("staff", is_staff=True)
    assert client_of(staff).get(f"/api/imports/{job.pk}/").status_code == 404
    staff.user_permissions.add(Permission.objects.get(codename="manage_importjobs"))
    staff = User.objects.get(pk=staff.pk)
    assert client_of(staff).get(f"/api/imports/{job.pk}/").status_code == 200
    assert client_of(staff).post(f"/api/imports/{job.pk}/cancel/").json()["status"] == "cancelled"


@pytest.mark.parametrize("task_id", ["", "nonsense", "0d3f9a52-7c1b-4a8e-9f60-2b7d5e1c8a44", "a" * 5000, "\0"])
def test_a_status_of_nothing_is_not_found(api: APIClient, task_id: str) -> None:
    response = api.get("/api/import/status/", {"task_id": task_id})
    assert response.status_code == (400 if task_id == "" else 404)


def test_a_queued_job_is_cancelled_at_once_and_again_without_harm(api: APIClient, stored_file: MakeFile) -> None:
    job = start(api, stored_file())
    for url in (f"/api/imports/{job.pk}/cancel/", f"/api/picky/import/{job.pk}/cancel/"):
        response = api.post(url)
        assert response.status_code == 200
        assert list(response.json()) == FIELDS
        assert response.json()["status"] == "cancelled"


def test_a_job_that_has_ended_is_not_cancelled_any_more(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    job = run_to_end(start(api, stored_file()))
    assert api.post(f"/api/imports/{job.pk}/cancel/").json()["status"] == "succeeded"


@pytest.mark.parametrize("output_format", ["csv", "xlsx"])
def test_refused_rows_come_page_by_page_while_it_runs_and_afterwards(
    api: APIClient, stored_file: MakeFile, messages: list[Any], run_to_end: RunToEnd, output_format: str
) -> None:
    text = "n\n" + "".join(f'"{n}, ""x"""\n' for n in range(1, 101))
    job = start(api, stored_file(text), url="/api/dynamic/import/", chunk_size=10, output_format=output_format)
    steps = bridge.process_parts().steps
    steps.plan(str(job.pk))
    messages.clear()
    for index in range(10):
        steps.chunk(str(job.pk), index)

    def page(**query: int) -> dict[str, Any]:
        answer: dict[str, Any] = api.get(f"/api/imports/{job.pk}/errors/", query).json()
        return answer

    running = [page(offset=offset, limit=7) for offset in range(0, 50, 7)]
    run_to_end(job)
    assert job.status == "succeeded"
    assert [page(offset=offset, limit=7) for offset in range(0, 50, 7)] == running
    rows = [entry for each in running for entry in each["results"]]
    assert [entry["row"] for entry in rows] == [[f'{n}, "x"'] for n in range(1, 101, 2)]
    assert {entry["import_error"] for entry in rows} == {"odd"}
    assert [entry["position"] for entry in rows] == list(range(1, 51))
    assert page(offset=0)["count"] == 50
    assert page(offset=50)["results"] == []
    assert page(offset=43, limit=7)["next_offset"] is None
    for bad in ({"limit": 0}, {"limit": 5000}, {"offset": -1}, {"offset": "x"}):
        assert api.get(f"/api/imports/{job.pk}/errors/", bad).status_code == 400


def test_a_preview_shows_columns_and_first_rows(api: APIClient, stored_file: MakeFile) -> None:
    file = stored_file("a;b\n" + "1;x\n" * 100)
    shown = api.get("/api/imports/preview/", {"file_id": file.pk}).json()
    assert (shown["delimiter"], shown["header"], shown["column_count"]) == (";", ["a", "b"], 2)
    assert shown["rows"] == [["1", "x"]] * 20
    assert api.get("/api/imports/preview/", {"file_id": file.pk, "header_rows": 0}).json()["rows"][0] == ["a", "b"]
    empty = stored_file("")
    response = api.get("/api/imports/preview/", {"file_id": empty.pk})
    assert response.status_code == 400
    assert "empty" in response.json()["file_id"][0]


def test_a_preview_and_a_job_show_what_was_found_by_looking(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    file = stored_file('Report of 2024\n\ncol_0;col_1;import_error\n1;"a\\"b";wrong\n2;c;wrong\n')
    shown = api.get("/api/imports/preview/", {"file_id": file.pk}).json()
    assert (shown["escape_char"], shown["added_column"], shown["rows"]) == (
        "\\",
        "import_error",
        [["1", 'a"b'], ["2", "c"]],
    )
    assert shown["detection"]["preamble"] == ["Report of 2024", ""]
    job = run_to_end(start(api, file))
    detail = api.get(f"/api/imports/{job.pk}/").json()
    assert detail["detection"] == shown["detection"]
    assert (detail["dialect"]["delimiter"], detail["dialect"]["escape_char"]) == (";", "\\")
    assert (detail["header"], detail["added_column"]) == (["col_0", "col_1"], "import_error")
    assert (detail["total_rows"], detail["detection"]["line_end"]) == (2, "LF")
    assert 0 < detail["detection"]["confidence"]["delimiter"] <= 1
    given = api.get("/api/imports/preview/", {"file_id": file.pk, "skip_rows": 0, "delimiter": "|"}).json()
    assert (given["header"], given["detection"]["preamble"]) == (["Report of 2024"], [])
    assert "delimiter" in api.get("/api/imports/preview/", {"file_id": file.pk, "delimiter": "||"}).json()


def test_the_list_shows_ones_own_jobs_the_newest_first(api: APIClient, stored_file: MakeFile) -> None:
    jobs = [start(api, stored_file()) for _ in range(3)]
    shown = api.get("/api/imports/").json()
    assert shown["count"] == 3
    assert [entry["id"] for entry in shown["results"]] == [str(job.pk) for job in reversed(jobs)]
    assert api.get("/api/imports/", {"limit": 1, "offset": 1}).json()["results"][0]["id"] == str(jobs[1].pk)


def test_quotas_are_told_and_start_nothing(api: APIClient, stored_file: MakeFile, settings: Any) -> None:
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USER = 2
    files = [stored_file() for _ in range(3)]
    for file in files[:2]:
        start(api, file)
    refused = api.post(START, {"file_id": files[2].pk})
    assert refused.status_code == 400
    assert "2 imports" in refused.data["non_field_errors"][0]
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USER = None
    settings.IMPORT_MAX_FILE_BYTES_PER_JOB = 5
    assert "5" in api.post(START, {"file_id": files[2].pk}).data["file_id"][0]
    settings.IMPORT_MAX_FILE_BYTES_PER_JOB = None
    settings.IMPORT_MAX_BYTES_PER_USER_PER_DAY = 60
    assert api.post(START, {"file_id": files[2].pk}).status_code == 400
    assert ImportJob.objects.count() == 2


def test_a_job_with_too_many_rows_fails_once_they_are_counted(
    api: APIClient, stored_file: MakeFile, settings: Any, run_to_end: RunToEnd
) -> None:
    settings.IMPORT_MAX_ROWS_PER_JOB = 1
    job = run_to_end(start(api, stored_file()))
    assert (job.status, job.error_code) == ("failed", "source_too_large")
    assert job.processed_rows == 0


def test_custom_options_reach_the_handler_and_a_file_that_is_gone_fails_the_job(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, tmp_path: Path
) -> None:
    file = stored_file()
    (tmp_path / "media" / file.file_path).unlink()
    job = run_to_end(start(api, file, update_existing=True, custom_field="value"))
    assert job.options["custom_field"] == "value"
    assert (job.status, job.error_code) == ("failed", "source_missing")
    status = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()
    assert status["error_message"]


def test_no_records_and_no_files_where_none_are_wanted(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd, settings: Any
) -> None:
    before = FileModel.objects.count()
    job = run_to_end(start(api, stored_file(), create_result_file_records=False))
    files = api.get("/api/import/status/", {"task_id": str(job.pk)}).json()["result_files"]
    assert files["success_file"]["file_id"] is None
    assert files["success_file"]["url"]
    assert FileModel.objects.count() == before + 1
    settings.IMPORT_ENABLE_RESULT_FILES = False
    bridge.forget_parts()
    job = run_to_end(start(api, stored_file()))
    assert (job.status, job.success_key, job.failed_key) == ("succeeded", "", "")


def test_a_view_with_a_batch_handler_imports_by_frames(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    file = stored_file("name,email\nAna,a@x\nBo,\ncrash,c@x\nDi,d@x\nEd\n")
    job = start(api, file, url="/api/batches/import/")
    assert (job.handler_mode, job.options["batch_size"]) == ("batch", 20_000)
    ended = run_to_end(job)
    assert (ended.status, ended.success_count, ended.failure_count) == ("succeeded", 2, 3)
    errors = api.get(f"/api/imports/{job.pk}/errors/").json()["results"]
    assert [error["import_error"] for error in errors] == [
        "Email is required", "ValueError: crash", "The row has 1 cell, the table has 2 columns.",
    ]  # fmt: skip
    # What the crashed call wrote is gone; a refusal is the handler's own affair.
    assert sorted(SeenRow.objects.values_list("row_index", flat=True)) == [1, 2, 4]


def test_the_ready_made_batch_handler_declares_itself_one(
    api: APIClient, stored_file: MakeFile, run_to_end: RunToEnd
) -> None:
    Station.objects.create(code="B", name="old")
    job = run_to_end(
        start(api, stored_file("Code,Name\nA,Aachen\nB,Berlin\nTOO LONG,x\n"), url="/api/stations/import/")
    )
    assert (job.status, job.success_count, job.failure_count) == ("succeeded", 2, 1)
    assert list(Station.objects.order_by("code").values_list("code", "name")) == [("A", "Aachen"), ("B", "Berlin")]

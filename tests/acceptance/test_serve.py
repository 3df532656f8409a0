"""`scripts/serve`: a person's or a program's way through the example project, with real processes."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.http_user import Answer, HttpUser, send
from tests.acceptance.serve_process import Serving, lives, serve

pytestmark = pytest.mark.timeout(400)

_CODE, _CITY = 0, 3
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def _is_refused(airport: list[str]) -> bool:
    """Whether the handler takes this airport for incomplete: some have a placeholder such as `_MLH` for a code."""
    return not airport[_CITY].strip() or not airport[_CODE].isalnum()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One for all tests that leave it running; SIGTERM ends it well."""
    with serve(tmp_path_factory.mktemp("serve") / "data") as running:
        yield running
        running.check_stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def demo(serving: Serving) -> HttpUser:
    return HttpUser(serving.url, "demo", "demo")


@pytest.fixture(scope="module")
def other(serving: Serving) -> HttpUser:
    return HttpUser(serving.url, "other", "other")


@pytest.fixture(scope="module")
def airports() -> bytes:
    """Every third line of the file of `airportsdata`, as it is."""
    spec = importlib.util.find_spec("airportsdata")
    assert spec is not None
    assert spec.origin is not None
    head, *lines = (Path(spec.origin).parent / "airports.csv").read_bytes().splitlines(keepends=True)
    return b"".join([head, *lines[::3]])


@pytest.fixture(scope="module")
def imported(demo: HttpUser, airports: bytes) -> list[dict[str, object]]:
    """The guide's steps 1 to 3 with the airports: every status seen, the last one final."""
    file_id = demo.upload("airport_import", "airports.csv", airports)
    job_id = demo.start_import("/api/airports/import/", file_id, batch_size=500)
    return demo.wait_for_end(job_id, seconds=240)


def test_the_airports_come_through_the_guides_four_steps(
    demo: HttpUser, imported: list[dict[str, object]], airports: bytes
) -> None:
    source = list(csv.reader(io.StringIO(airports.decode("utf-8"), newline="")))[1:]
    last = imported[-1]
    failing = [row for row in source if _is_refused(row)]
    assert last["status"] == "succeeded", last
    assert last["total_rows"] == last["processed_rows"] == len(source)
    assert last["failure_count"] == len(failing) > 700
    assert last["success_count"] == len(source) - len(failing)
    assert last["percentage"] == 100.0
    percentages = [status["percentage"] or 0 for status in imported]
    assert percentages == sorted(percentages)  # type: ignore[type-var]

    files: dict[str, dict[str, str]] = last["result_files"]  # type: ignore[assignment]
    # The links are the right to download: no login goes with them.
    success = send("GET", files["success_file"]["url"])
    failed = send("GET", files["failed_file"]["url"])
    assert (success.status, failed.status) == (200, 200)
    assert "airports.success.csv" in success.headers["content-disposition"]
    columns = [f"col_{number}" for number in range(11)]
    head, *rows = success.rows()
    assert head == [*columns, "import_result"]
    assert [row[:-1] for row in rows] == [row for row in source if not _is_refused(row)]
    assert all(json.loads(row[-1])["created"] is True for row in rows)
    head, *rows = failed.rows()
    assert head == [*columns, "import_error"]
    assert [row[:-1] for row in rows] == failing
    assert {row[-1] for row in rows if not row[_CITY].strip()} == {"City is required"}
    assert demo.get("/api/airports/?limit=1").json()["count"] == len(source) - len(failing)


def test_another_user_finds_nothing_of_it(
    demo: HttpUser, other: HttpUser, imported: list[dict[str, object]], airports: bytes
) -> None:
    job_id, file_id = imported[-1]["id"], imported[-1]["file_id"]
    assert demo.get(f"/api/imports/{job_id}/").status == 200
    assert other.get(f"/api/import/status/?task_id={job_id}").status == 404
    assert other.get(f"/api/imports/{job_id}/").status == 404
    assert other.get(f"/api/imports/{job_id}/errors/").status == 404
    assert other.post(f"/api/imports/{job_id}/cancel/").status == 404
    assert other.get(f"/api/files/{file_id}/").status == 404
    refused = other.post("/api/airports/import/", {"file_id": file_id})
    assert refused.status == 400
    assert "file_id" in refused.json()
    assert send("GET", f"{demo.url}/api/imports/{job_id}/").status == 401


def test_a_file_for_the_other_import_is_refused(demo: HttpUser) -> None:
    file_id = demo.upload("flight_import", "flights.csv", b"year,month\n2013,1\n")
    assert "file_id" in demo.post("/api/airports/import/", {"file_id": file_id}).json()
    job_id = demo.start_import("/api/flights/import/", file_id)
    last = demo.wait_for_end(job_id, seconds=180)[-1]
    assert (last["status"], last["failure_count"]) == ("succeeded", 1)


def test_flights_become_one_row_each(demo: HttpUser) -> None:
    head = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    lines = [f"{head}origin,dest"]
    for number in range(1, 2_501):
        arrival = "NA" if number % 10 == 0 else "" if number % 10 == 1 else "2400"
        lines.append(f"2013,1,1,517,515,2,{arrival},819,11,UA,{number},N14228,EWR,IAH")
    file_id = demo.upload("flight_import", "flights.csv", "\n".join(lines).encode())
    job_id = demo.start_import("/api/flights/import/", file_id, batch_size=100, chunk_size=300)
    last = demo.wait_for_end(job_id, seconds=180)[-1]
    assert (last["success_count"], last["failure_count"]) == (2_000, 500)
    page = demo.get("/api/flights/?limit=5000").json()
    assert page["count"] == 2_000


def test_a_person_finds_the_pages(serving: Serving, demo: HttpUser) -> None:
    admin = HttpUser(serving.url, "admin", "admin")
    start = send("GET", f"{serving.url}/")
    assert start.status == 200
    for address in (b"/admin/", b"/api/docs/", b"/login/login/"):
        assert address in start.body
    login = send("GET", f"{serving.url}/admin/login/")
    assert (login.status, b"csrfmiddlewaretoken" in login.body) == (200, True)
    assert send("GET", f"{serving.url}/static/admin/css/base.css").status == 200
    assert send("GET", f"{serving.url}/api/docs/").status == 200
    assert send("GET", f"{serving.url}/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css").status == 200
    assert send("GET", f"{serving.url}/api/schema/").status == 200
    assert admin.get("/api/imports/").status == demo.get("/api/imports/").status == 200


def test_the_admin_shows_the_jobs(serving: Serving, imported: list[dict[str, object]]) -> None:
    session = AdminSession(serving.url)
    session.log_in("admin", "admin")
    page = session.get("/admin/rowmill_imports/importjob/")
    assert page.status == 200
    assert str(imported[-1]["id"]).encode() in page.body
    detail = session.get(f"/admin/rowmill_imports/importjob/{imported[-1]['id']}/change/")
    assert detail.status == 200
    assert b"airports.csv" in detail.body


class AdminSession:
    """A browser, as far as a login needs one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies: dict[str, str] = {}

    def log_in(self, name: str, password: str) -> None:
        self.get("/admin/login/")
        form = f"username={name}&password={password}&csrfmiddlewaretoken={self._cookies['csrftoken']}&next=/admin/"
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded", "Referer": self._url}
        self._take(send("POST", f"{self._url}/admin/login/", form.encode(), headers, follow=False))
        assert "sessionid" in self._cookies

    def get(self, path: str) -> Answer:
        return self._take(send("GET", f"{self._url}{path}", headers=self._headers))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    def _take(self, answer: Answer) -> Answer:
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="needs process groups")
def test_nothing_stays_of_what_is_killed_outright_or_crashes_but_the_data(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as first:
        HttpUser(first.url, "demo", "demo").upload("airport_import", "airports.csv", b"icao\nX\n")
        started = first.descendants()
        assert len(started) > 5
        first.stop(signal.SIGKILL)
        _, alive = psutil.wait_procs(started, timeout=60)
        assert [process for process in alive if lives(process)] == []
    with serve(tmp_path / "data") as second:
        assert HttpUser(second.url, "demo", "demo").get("/api/files/").json()["count"] == 1
        started = second.descendants()
        (valkey,) = [process for process in started if "valkey" in process.name() or "redis" in process.name()]
        valkey.kill()
        assert second.process.wait(90) == 1
        assert "valkey ended by itself (signal 9)" in (tmp_path / "data.stderr").read_text()
        assert [process for process in started if lives(process)] == []


def test_a_port_in_use_is_told(serving: Serving, tmp_path: Path) -> None:
    port = serving.url.rpartition(":")[2]
    with pytest.raises(AssertionError, match=f"Port {port} cannot be used"), serve(tmp_path / "data", {"PORT": port}):
        pass


def test_fuzzed_requests_get_documented_answers_only(serving: Serving, tmp_path: Path) -> None:
    """The OpenAPI schema is true of the running server: no 500, and no answer that it does not describe."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{serving.url}/api/schema/"),
            *("--auth", "other:other", "--checks", CHECKS, "--max-examples", "4", "--seed", "20261123"),
            *("--request-timeout", "60"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]

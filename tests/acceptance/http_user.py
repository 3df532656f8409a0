"""A user of the HTTP API as `curl` would be one: HTTP Basic, JSON, plain PUT."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_STAYING_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    cookies: tuple[str, ...] = ()

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def rows(self) -> list[list[str]]:
        """The body, read as CSV by Python's own reader."""
        return list(csv.reader(io.StringIO(self.body.decode("utf-8"), newline="")))


def send(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, follow: bool = True
) -> Answer:
    """One request; an error status is an answer too, and with `follow=False` a redirect."""
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310 - a server of the test
    try:
        with (_OPENER if follow else _STAYING_OPENER).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return _answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error.read())


def _answer(status: int, headers: Message, body: bytes) -> Answer:
    cookies = tuple(headers.get_all("Set-Cookie") or ())
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body, cookies)


@dataclass(frozen=True, slots=True)
class HttpUser:
    """Someone with a password."""

    url: str
    name: str
    password: str = field(repr=False)

    def get(self, path: str) -> Answer:
        """GET, logged in."""
        return send("GET", self._address(path), headers=self._headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """POST of JSON, logged in."""
        data = b"" if body is None else json.dumps(body).encode()
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return send("POST", self._address(path), data, {**self._headers, "Content-Type": "application/json", **more})

    def upload(self, purpose: str, file_name: str, data: bytes) -> int:
        """The guide's step 1: presign, PUT, confirm; returns the file's id."""
        presigned = self.post("/api/files/presign/", {"purpose": purpose, "file_name": file_name})
        assert presigned.status == 201, presigned
        link = presigned.json()
        headers = {"Content-Type": "text/csv", **link["headers"]}
        assert send("PUT", link["presigned_url"], data, headers).status == 200
        checksum = hashlib.sha256(data).hexdigest()
        entry = {"file_id": link["file_id"], "checksum": checksum, "size": len(data)}
        confirmed = self.post("/api/files/confirm/", {"files": [entry]})
        assert confirmed.status == 200, confirmed
        assert [file["status"] for file in confirmed.json()["files"]] == ["confirmed"], confirmed
        return int(link["file_id"])

    def start_import(self, path: str, file_id: int, **options: Any) -> str:
        """The guide's step 2; returns the job's id."""
        started = self.post(path, {"file_id": file_id, "options": options})
        assert started.status == 202, started
        assert started.json()["status"] == "queued"
        return str(started.json()["import_job_id"])

    def status(self, job_id: str) -> dict[str, Any]:
        """The guide's step 3."""
        answer = self.get(f"/api/import/status/?task_id={job_id}")
        assert answer.status == 200, answer
        body: dict[str, Any] = answer.json()
        return body

    def wait_for_end(self, job_id: str, *, seconds: float) -> list[dict[str, Any]]:
        """Ask for the status until the job has ended; returns all answers, the last one final."""
        deadline = time.monotonic() + seconds
        seen = [self.status(job_id)]
        while seen[-1]["status"] in ("queued", "running"):
            assert time.monotonic() < deadline, seen[-1]
            time.sleep(0.2)
            seen.append(self.status(job_id))
        return seen

    def _address(self, path: str) -> str:
        return path if "://" in path else f"{self.url}{path}"

    @property
    def _headers(self) -> dict[str, str]:
        token = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {token}", "Accept": "application/json"}

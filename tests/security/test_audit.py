"""`scripts/audit` and a server of advisories: a finding fails it, silence is told and does not pass for a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.services import free_port

ROOT = Path(__file__).parents[2]
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1"],
    "summary": "Reads what it should not.",
    "affected": [
        {
            "package": {"name": "holey", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
        }
    ],
}

Audit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """`audit(url)`: over two packages, by the advisories there."""
    for name, version in (("holey", "1.0.0"), ("whole", "2.0.0")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def run(url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "audit_packages.py"), "--path", str(tmp_path), "--timeout", "5"],
            env={**os.environ, "OSV_URL": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def advisories() -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of a server of the OSV API, and what it knows: package → answer, or the status of an error."""
    known: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = known.get(asked["package"]["name"], {})
            status = answer if isinstance(answer, int) else 200
            body = json.dumps({} if status != 200 else answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query", known
        server.shutdown()
        thread.join()


def test_an_advisory_fails_the_audit(audit: Audit, advisories: tuple[str, dict[str, Any]]) -> None:
    url, known = advisories
    known["holey"] = {"vulns": [ADVISORY]}
    done = audit(url)
    assert done.returncode == 1, done.stderr
    assert "2 of 2 packages audited, 1 findings" in done.stdout
    assert "holey 1.0.0: PYSEC-2026-1, fixed in 1.0.1" in done.stdout


def test_without_an_advisory_it_says_how_many_were_audited(
    audit: Audit, advisories: tuple[str, dict[str, Any]]
) -> None:
    done = audit(advisories[0])
    assert (done.returncode, done.stdout.strip()) == (0, "2 of 2 packages audited, 0 findings")


@pytest.mark.parametrize("way", ["nobody listens", "an error"])
def test_a_server_that_tells_nothing_is_no_audit(
    audit: Audit, advisories: tuple[str, dict[str, Any]], way: str
) -> None:
    url, known = advisories
    known["whole"] = 503
    done = audit(url if way == "an error" else f"http://127.0.0.1:{free_port()}/v1/query")
    assert done.returncode == 0, done.stderr
    assert "NOT AUDITED" in done.stderr
    assert "findings" not in done.stdout

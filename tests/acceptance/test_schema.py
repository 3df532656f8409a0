"""The OpenAPI schema is true of the running server: no 500, and no answer that it does not describe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.serve_process import serve

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(400)
def test_fuzzed_requests_get_documented_answers_only(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as serving:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{serving.url}/api/schema/"),
                *("--auth", "demo:demo", "--checks", CHECKS, "--max-examples", "4", "--seed", "20261123"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:]

"""A web server under load while an import runs: the small form of `python -m benchmarks.status_by_clock`."""

from __future__ import annotations

import json
import subprocess
import sys


def test_status_requests_under_load_are_right_and_reach_no_database() -> None:
    words = ["--seconds", "0.5", "--rounds", "1", "--clients", "4", "--json"]
    command = [sys.executable, "-m", "benchmarks.status_by_clock", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Other than 0 where an answer was wrong, or took a query.
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["requests"] > 20
    assert figures["rows_meanwhile"] > 0

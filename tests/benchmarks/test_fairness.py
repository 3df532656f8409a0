"""Small imports behind a big one, with real workers: the small form of `python -m benchmarks.fairness`."""

from __future__ import annotations

import json
import subprocess
import sys

CHUNK_ROWS = 2_000
#: Chunks of a job that wait in the queue before the messages of a later job.
WINDOW = 16


def test_small_imports_do_not_wait_for_what_a_big_one_has_sent_before() -> None:
    words = f"--rows 200000 --chunk-rows {CHUNK_ROWS} --row-microseconds 300 --small 6 --small-rows 200"
    command = [sys.executable, "-m", "benchmarks.fairness", *words.split(), "--behind-only", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["big_outlived_the_small_ones"]
    # In the order of the queue all that was sent before would be run before the first of them: 0.6 seconds a chunk.
    # So two are in hand at their start, a quarter of the time is the big one's, and the rest is theirs.
    assert figures["big_rows_meanwhile"] < WINDOW * CHUNK_ROWS

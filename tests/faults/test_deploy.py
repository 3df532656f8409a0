"""Workers that are told to end, one after the other, while a job runs: they drain, and no attempt is wasted."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.celery_workers import celery_worker
from tests.faults.conftest import REFUSED, Shaken, check_rows

#: How long a worker may take to end; what Kubernetes and systemd grant is more.
_DRAIN_SECONDS = 25.0


def chunks_done(shaken: Shaken) -> int:
    """Of all jobs; asked of the database, as a process of the project would cost more than a chunk."""
    query = "SELECT count(*) FROM rowmill_imports_importchunk WHERE status = 'done'"
    with psycopg.connect(shaken.environment["DATABASE_URL"]) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(170)
def test_rolling_restarts_burn_no_attempt(shaken: Shaken, tmp_path: Path) -> None:
    options = {"chunk_size": 5, "batch_size": 5, "refused": REFUSED, "seconds_per_row": 0.1}
    (job_id,) = shaken.forks.call("start", "in.csv", "write_slowly", options)
    drained: list[float] = []
    for _ in range(3):
        with celery_worker(
            tmp_path,
            shaken.environment["REDIS_URL"],
            concurrency=1,
            environment=shaken.environment,
            app="tests.django_integration.celery_app",
        ) as worker:
            before, deadline = chunks_done(shaken), time.monotonic() + 30
            while chunks_done(shaken) <= before and time.monotonic() < deadline:
                time.sleep(0.1)
            began = time.monotonic()
            worker.process.send_signal(signal.SIGTERM)
            worker.process.wait(_DRAIN_SECONDS)
            drained.append(time.monotonic() - began)
    assert max(drained) < _DRAIN_SECONDS
    end = shaken.end(job_id)
    assert sum(end["recount"]) > 0, json.dumps(end)
    child = shaken.forks.begin("work", job_id)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert set(end["attempts"]) == {1}

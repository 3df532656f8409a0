"""How often a worker writes a job's counts to the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob
from django_integration.imports.progress_flush import FlushingProgress
from engine.model import Counts
from engine.progress import MemoryProgress

BATCH = 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("every_n_batches", "writes"), [(1, 20), (5, 4), (7, 2), (100, 0)])
def test_the_counts_are_written_after_every_n_batches(
    every_n_batches: int, writes: int, stored_file: Callable[..., FileModel]
) -> None:
    job = ImportJob.objects.create(file=stored_file(), handler_path="x.y", status="running")
    job_id = str(job.pk)
    store = FlushingProgress(
        MemoryProgress(), every_n_batches=every_n_batches, using="default", batch_size_of=lambda _: BATCH
    )
    store.begin(job_id, total_rows=200)
    with CaptureQueriesContext(connection) as captured:
        for chunk in range(2):
            for batch in range(1, 11):
                counts = Counts(success_count=BATCH * batch - 1, failure_count=1)
                store.record(job_id, chunk, 1, counts, done=batch == 10)
    updates = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == writes
    job.refresh_from_db()
    assert job.processed_rows == BATCH * every_n_batches * writes
    assert job.success_count + job.failure_count == job.processed_rows
    snapshot = store.snapshot(job_id)
    assert snapshot is not None
    assert snapshot.counts.processed_rows == 200


@pytest.mark.django_db(transaction=True)
def test_the_counts_of_an_ended_job_are_final(stored_file: Callable[..., FileModel]) -> None:
    job = ImportJob.objects.create(
        file=stored_file(), handler_path="x.y", status="succeeded", processed_rows=7, success_count=7
    )
    store = FlushingProgress(MemoryProgress(), every_n_batches=1, using="default", batch_size_of=lambda _: BATCH)
    store.begin(str(job.pk), total_rows=10)
    store.record(str(job.pk), 0, 1, Counts(success_count=3), done=True)
    job.refresh_from_db()
    assert job.processed_rows == 7

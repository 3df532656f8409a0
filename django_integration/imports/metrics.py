"""What the database and Redis know of imports, as Prometheus metrics, gathered when they are asked for.

One answer speaks for all workers: they write what they did into the database, and add up in Redis how long it took, so
that nothing has to be scraped from them and no port of theirs be open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Q, QuerySet, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from django_integration.conf import import_settings
from django_integration.imports import bridge
from django_integration.imports.models import ImportChunk, ImportJob
from engine.errors import ServiceUnavailableError

_REDIS_TEXT = "Whether Redis answers, which keeps durations of steps and live counters."
_RUNNING = (ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)


class ImportCollector:
    """A Prometheus collector over the tables of jobs and of unfinished jobs' chunks."""

    def collect(self) -> Iterator[Metric]:
        """All metrics, by five queries."""
        jobs, now = ImportJob.objects.using(import_settings().database), timezone.now()
        by_status = dict(jobs.order_by().values_list("status").annotate(Count("pk")))
        found = GaugeMetricFamily("rowmill_jobs", "Import jobs by status.", labels=["status"])
        for status in ImportJob.Status.values:
            found.add_metric([status], by_status.get(status, 0))
        yield found
        sums = jobs.aggregate(success=Sum("success_count"), failure=Sum("failure_count"))
        rows = CounterMetricFamily("rowmill_rows", "Rows by outcome, as the database has them.", labels=["outcome"])
        for outcome, count in (("success", sums["success"]), ("failure", sums["failure"])):
            rows.add_metric([outcome], count or 0)
        yield rows
        yield _durations(jobs)
        yield from _unfinished_chunks(now, jobs)


def _durations(jobs: QuerySet[ImportJob]) -> Metric:
    ended = jobs.filter(started_at__isnull=False, finished_at__isnull=False).exclude(status__in=_RUNNING)
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    found = SummaryMetricFamily("rowmill_job_duration_seconds", "From a job's start to its end.", labels=["status"])
    for status, count, total in ended.order_by().values_list("status").annotate(count=Count("pk"), total=Sum(took)):
        found.add_metric([status], count_value=count, sum_value=total.total_seconds())
    return found


def _unfinished_chunks(now: datetime, jobs: QuerySet[ImportJob]) -> Iterator[Metric]:
    chunks = ImportChunk.objects.using(jobs.db).filter(job__status__in=_RUNNING).order_by()
    by_status = {
        status: (count, attempts)
        for status, count, attempts in chunks.values_list("status").annotate(count=Count("pk"), attempts=Sum("attempt"))
    }
    found = GaugeMetricFamily("rowmill_chunks", "Chunks of unfinished jobs by status.", labels=["status"])
    for status in ImportChunk.Status.values:
        found.add_metric([status], by_status.get(status, (0, 0))[0])
    yield found
    attempts = sum(attempts or 0 for _, attempts in by_status.values())
    yield GaugeMetricFamily("rowmill_chunk_attempts", "Attempts at chunks of unfinished jobs.", value=attempts)
    sent = chunks.filter(status=ImportChunk.Status.SENT, job__paused=False).aggregate(oldest=Min("changed_at"))
    queued = jobs.filter(Q(status=ImportJob.Status.QUEUED)).aggregate(oldest=Min("created_at"))
    ages = [(now - each["oldest"]).total_seconds() for each in (sent, queued) if each["oldest"] is not None]
    text = "How long the oldest queued job or sent chunk has waited for a worker."
    yield GaugeMetricFamily("rowmill_queue_age_seconds", text, value=max(0.0, *ages) if ages else 0.0)


class StepCollector:
    """A Prometheus collector over what all workers have added up in Redis."""

    def collect(self) -> Iterator[Metric]:
        """One look; without Redis only that it is away."""
        try:
            times = bridge.process_parts().step_times.read()
        except ServiceUnavailableError:
            yield GaugeMetricFamily("rowmill_redis_up", _REDIS_TEXT, value=0)
            return
        yield GaugeMetricFamily("rowmill_redis_up", _REDIS_TEXT, value=1)
        text = "How long plans, attempts at chunks, and merges took, by what became of them."
        found = HistogramMetricFamily("rowmill_step_duration_seconds", text, labels=["step", "outcome"])
        for labels, each in times.items():
            buckets = [("+Inf" if math.isinf(bound) else str(bound), count) for bound, count in each.buckets]
            found.add_metric(labels, buckets=buckets, sum_value=each.sum_seconds)
        yield found


def exposition() -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ImportCollector())
    registry.register(StepCollector())
    return generate_latest(registry)

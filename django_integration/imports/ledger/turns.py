"""Which of all jobs a free process should go on with."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from django_integration.imports.models import ImportChunk, ImportJob
from engine.status import ChunkStatus, Phase, Status


def by_turn(jobs: QuerySet[ImportJob], *, longest_waiting: bool) -> QuerySet[ImportJob, tuple[Any, ...]]:
    """The job of the step that is due first, and the chunk; see `engine.ledger.protocol.Ledger.next_turn`.

    One query: three looks at an index for every unfinished job.
    """
    chunks = ImportChunk.objects.filter(job=OuterRef("pk"))
    sent = chunks.filter(status=ChunkStatus.SENT).order_by("chunk_index")
    leased = chunks.filter(status=ChunkStatus.LEASED).order_by().values("job").annotate(n=Count("pk")).values("n")
    takes_work = Q(status=Status.QUEUED) | Q(
        status=Status.RUNNING, phase__in=(Phase.SCANNING, Phase.PROCESSING), next_chunk__isnull=False
    )
    order = ("since",) if longest_waiting else ("in_hand", Coalesce("next_chunk", 0))
    return (
        jobs.filter(paused=False, cancel_requested=False, error_code="")
        .annotate(
            next_chunk=Subquery(sent.values("chunk_index")[:1]),
            since=Coalesce(Subquery(sent.values("changed_at")[:1]), "created_at"),
            in_hand=Coalesce(Subquery(leased, output_field=IntegerField()), 0),
        )
        .filter(takes_work)
        .order_by(*order, "created_at", "pk")
        .values_list("pk", "next_chunk")[:1]
    )

"""Larger chunks for what is left of a job, once its first chunks have told what a row costs.

Of a handler's first import nothing is known when it is planned, so that its chunks are small enough for dear rows.
Cheap ones would cost more for their chunks than for themselves, and their parts would be too small for S3 to join
by itself.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import partial

from engine import failpoints
from engine.chunk_runner import rebuild_progress
from engine.chunk_sizes import enlarged, fitting_sizes
from engine.coordinator.desk import JobDesk
from engine.errors import ServiceUnavailableError
from engine.model import Job, Plan
from engine.progress import RowCosts
from engine.status import Phase

logger = logging.getLogger(__name__)


class Enlarging:
    """Joins chunks that nobody has begun, once for each job."""

    def __init__(self, desk: JobDesk, costs: RowCosts | None) -> None:
        """
        Args:
            costs: what rows took, of this job as well; None where nobody remembers.
        """
        self._desk = desk
        self._costs = costs

    @property
    def is_possible(self) -> bool:
        """Whether what rows cost is known at any time."""
        return self._costs is not None

    def enlarge(self, job: Job) -> None:
        """Make the chunks of a job larger that are still to be begun, if they were a guess and the costs are known.

        Two that do it at once, or one that dies in the middle, do no harm: what is large enough stays as it is.
        """
        plan = job.plan
        if self._costs is None or plan is None or not plan.sizes_guessed:
            return
        if job.phase is not Phase.PROCESSING or not job.takes_work:
            return
        seconds_per_row = self._seconds_per_row(job)
        if seconds_per_row is None:
            return
        max_chunk_bytes = self._desk.config.max_chunk_bytes
        sizes = fitting_sizes(
            job.handler_mode, seconds_per_row, source_bytes=plan.readable.size_bytes, max_chunk_bytes=max_chunk_bytes
        )
        choose = partial(enlarged, sizes=sizes, max_chunk_bytes=max_chunk_bytes)
        taken_in = self._desk.ledger.enlarge_chunks(job.job_id, choose)
        self._desk.ledger.save_plan(job.job_id, _known(plan))
        if taken_in:
            # A chunk that was given back may have rows in the live counters, which its larger one counts as well.
            self._desk.quietly(lambda: self._count_anew(job.job_id))
        logger.info("chunks enlarged", extra={"job_id": job.job_id, "taken_in": taken_in})
        failpoints.hit("chunks.enlarged")

    def _count_anew(self, job_id: str) -> None:
        rebuild_progress(self._desk.ledger, self._desk.progress, job_id, only_if_missing=False)

    def _seconds_per_row(self, job: Job) -> float | None:
        assert self._costs is not None
        try:
            return self._costs.seconds_per_row(job.handler_path)
        except ServiceUnavailableError:
            logger.warning("costs of rows not known", extra={"job_id": job.job_id}, exc_info=True)
            return None


def _known(plan: Plan) -> Plan:
    return dataclasses.replace(plan, sizes_guessed=False)

"""What a process keeps at hand of a job whose chunks it runs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from engine.config import EngineConfig
from engine.errors import InconsistentJobError
from engine.handlers import HandlerMode, mode_of, resolve_handler
from engine.ledger import Ledger
from engine.model import Job, Plan
from engine.options import ImportOptions
from engine.storage import Storage, open_location, open_storage

#: Jobs whose handler and storages a process keeps at hand.
_KEPT_JOBS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAtHand:
    """A job with its handler and its storages, opened once for all its chunks."""

    job: Job
    plan: Plan
    options: ImportOptions
    handler: Any
    mode: HandlerMode
    source: Storage
    source_key: str
    workspace: Storage

    @classmethod
    def open(cls, job: Job, config: EngineConfig) -> JobAtHand:
        """Resolve the handler and open the storages.

        Raises:
            RowmillError: the handler does not load, or the job has no plan.
        """
        if job.plan is None:
            raise InconsistentJobError(f"Job {job.job_id} has chunks but no plan.", job_id=job.job_id)
        source, source_key = open_location(job.plan.readable.url, config)
        handler: Any = resolve_handler(job.handler_path)
        return cls(
            job=job,
            plan=job.plan,
            options=ImportOptions.from_mapping(job.options),
            handler=handler,
            mode="batch" if job.handler_mode == "batch" else mode_of(handler),
            source=source,
            source_key=source_key,
            workspace=open_storage(job.workspace_url, config),
        )


class JobsAtHand:
    """The jobs whose chunks ran here last. Threads may share it; two may open the same job at once."""

    def __init__(self, ledger: Ledger, config: EngineConfig) -> None:
        self._ledger = ledger
        self._config = config
        self._jobs: OrderedDict[str, JobAtHand] = OrderedDict()
        self._lock = Lock()

    def get(self, job_id: str) -> JobAtHand:
        """The job; one that was not met lately is read from the ledger. Raises as `JobAtHand.open`."""
        with self._lock:
            found = self._jobs.pop(job_id, None)
            if found is not None:
                self._jobs[job_id] = found  # the newest
        if found is None:
            found = JobAtHand.open(self._ledger.job(job_id), self._config)
            with self._lock:
                self._jobs[job_id] = found
                if len(self._jobs) > _KEPT_JOBS:
                    self._jobs.popitem(last=False)
        return found

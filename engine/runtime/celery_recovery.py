"""The recovery loop: a thread beside every Celery worker that looks after jobs whose worker or message was lost."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.runtime.celery_tasks import process_parts
from engine.runtime.ledger_registry import LedgerRegistry

logger = logging.getLogger(__name__)


def recover_all(registry: LedgerRegistry) -> None:
    """Recover every unfinished job of every known ledger once. Safe anywhere, at any time, several at once."""
    for ledger_url in registry.ledgers():
        try:
            parts = process_parts(ledger_url)
            for job in parts.ledger.jobs(unfinished_only=True):
                registry.register(ledger_url)
                parts.coordinator.recover(job.job_id, parts.executor)
        except RowmillError:
            logger.warning("recovery put off", extra={"ledger": ledger_url}, exc_info=True)


class RecoveryLoop:
    """Runs `recover_all` every `recovery_interval_seconds` in a thread."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="rowmill-recovery", daemon=True)

    def start(self) -> None:
        """Begin; the first look comes after a tenth of the interval."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look in hand."""
        self._ended.set()

    def _loop(self) -> None:
        registry = LedgerRegistry(self._config)
        pause = self._config.recovery_interval_seconds / 10
        while not self._ended.wait(pause):
            pause = self._config.recovery_interval_seconds
            try:
                recover_all(registry)
            except Exception:  # the loop must outlive whatever one look meets
                logger.exception("recovery failed")


def install(app: Celery) -> None:
    """Start a recovery loop with every worker of this app, and end it when the worker does."""
    loops: list[RecoveryLoop] = []

    def start(**_: Any) -> None:
        app.set_current()
        loop = RecoveryLoop(EngineConfig.from_env())
        loops.append(loop)
        loop.start()

    def stop(**_: Any) -> None:
        for loop in loops:
            loop.stop()

    worker_ready.connect(start, weak=False)
    worker_shutting_down.connect(stop, weak=False)

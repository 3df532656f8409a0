"""Which ledgers have jobs in work, so that any worker can look after the jobs of a dead one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from engine.config import EngineConfig
from engine.errors import ServiceUnavailableError
from engine.progress import RedisProgress

logger = logging.getLogger(__name__)

#: Seconds between two registrations of the same ledger by one process.
_REGISTER_SECONDS = 5.0


class LedgerRegistry:
    """Ledgers seen lately, in Redis; a convenience that is made anew by every message when it is lost."""

    def __init__(self, config: EngineConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._store = RedisProgress.from_url(config.redis_url, config)
        self._registered: dict[str, float] = {}

    def register(self, ledger_url: str) -> None:
        """Say that this ledger has jobs in work; cheap to call for every chunk. A Redis that is away is no error."""
        now = self._clock()
        if now < self._registered.get(ledger_url, 0.0) + _REGISTER_SECONDS:
            return
        self._registered[ledger_url] = now
        try:
            self._store.remember_ledger(ledger_url, now=time.time())
        except ServiceUnavailableError:
            logger.warning("ledger not registered", exc_info=True)

    def ledgers(self) -> list[str]:
        """Every ledger known: from Redis, from this process's environment, and those registered by this process.

        Ledgers whose file is not on this machine are left out.
        """
        found = set(self._registered)
        if self._config.ledger_url:
            found.add(self._config.ledger_url)
        try:
            found.update(self._store.remembered_ledgers())
        except ServiceUnavailableError:
            logger.warning("ledgers not read", exc_info=True)
        return sorted(url for url in found if os.path.exists(url.removeprefix("sqlite:///")))

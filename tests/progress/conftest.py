"""A Valkey of these tests' own, because they empty it; and both stores for the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.config import EngineConfig
from engine.progress import MemoryProgress, ProgressStore, RedisProgress
from tests.services import start_valkey


@pytest.fixture(scope="session")
def own_valkey_url() -> Iterator[str]:
    with start_valkey(own=True) as url:
        yield url


@pytest.fixture
def redis_progress(own_valkey_url: str) -> Iterator[RedisProgress]:
    store = RedisProgress.from_url(own_valkey_url, EngineConfig())
    yield store
    store.close()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> ProgressStore:
    if request.param == "memory":
        return MemoryProgress()
    redis_progress: ProgressStore = request.getfixturevalue("redis_progress")
    return redis_progress

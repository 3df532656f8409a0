"""The ledgers that the contract is run on. A further one is a further name and its factory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.ledger import Ledger, SqliteLedger
from tests.ledger.builders import Clock, Deaths, LedgerFactory


@pytest.fixture(params=["sqlite"])
def ledger_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerFactory]:
    """`ledger_factory(clock=…, is_dead=…)` opens one more handle on the same empty books."""
    assert request.param == "sqlite"
    opened: list[SqliteLedger] = []

    def open_one(*, clock: Clock, is_dead: Deaths) -> Ledger:
        opened.append(SqliteLedger(tmp_path / "ledger.sqlite3", clock=clock, is_dead=is_dead))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deaths() -> Deaths:
    return Deaths()


@pytest.fixture
def ledger(ledger_factory: LedgerFactory, clock: Clock, deaths: Deaths) -> Ledger:
    return ledger_factory(clock=clock, is_dead=deaths)


@pytest.fixture
def other(ledger_factory: LedgerFactory, clock: Clock, deaths: Deaths) -> Ledger:
    """A second handle on the same books."""
    return ledger_factory(clock=clock, is_dead=deaths)

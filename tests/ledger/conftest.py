"""The ledgers that the contract is run on. A further one is a further name and its factory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from engine.ledger import Ledger, SqliteLedger
from tests.ledger.builders import STORAGE_ROOT, Clock, Deaths, LedgerFactory
from tests.ledger.django_books import DjangoBooks, migrated_books
from tests.mariadb_server import MARIADB


@pytest.fixture(scope="session")
def django_sqlite_books(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[DjangoBooks]:
    """A migrated SQLite file, shared by the run's tests; not in memory, as every handle has a connection of its own."""
    with django_db_blocker.unblock():
        books = migrated_books("sqlite", str(tmp_path_factory.mktemp("books") / "books.sqlite3"))
        yield books
        books.remove()


@pytest.fixture(scope="session")
def django_postgresql_books(postgres_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[DjangoBooks]:
    """A migrated PostgreSQL database, shared by the run's tests."""
    with django_db_blocker.unblock():
        books = migrated_books("postgresql", postgres_url)
        yield books
        books.remove()


@pytest.fixture(scope="session")
def django_mysql_books(mariadb_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[DjangoBooks]:
    """A migrated MariaDB database, shared by the run's tests."""
    with django_db_blocker.unblock():
        books = migrated_books("mysql", mariadb_url)
        yield books
        books.remove()


@pytest.fixture(params=["sqlite", "django_sqlite", "django_postgresql", *(f"django_{name}" for name in MARIADB)])
def ledger_factory(
    request: pytest.FixtureRequest, tmp_path: Path, settings: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[LedgerFactory]:
    """`ledger_factory(clock=…, is_dead=…)` opens one more handle on the same empty books."""
    books: DjangoBooks | None = None
    if request.param != "sqlite":
        books = request.getfixturevalue(f"{request.param}_books")
    opened: list[Ledger] = []

    def open_one(*, clock: Clock, is_dead: Deaths) -> Ledger:
        if books is None:
            opened.append(SqliteLedger(tmp_path / "ledger.sqlite3", clock=clock, is_dead=is_dead))
        else:
            opened.append(books.open(clock=clock, is_dead=is_dead))
        return opened[-1]

    settings.FILES_STORAGE_URL = STORAGE_ROOT
    with django_db_blocker.unblock():
        if books is not None:
            books.empty()
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

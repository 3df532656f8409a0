"""A method of the ledger that a deadlock undoes is run again; an error of another kind is told at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from django_integration.imports.database_errors import ledger_errors
from engine.errors import LedgerError, LedgerUnavailableError
from tests.ledger.builders import Clock, Deaths
from tests.ledger.django_books import DjangoBooks
from tests.mariadb_server import MARIADB

#: By vendor: what makes the server itself end a statement as it does the victim of a deadlock, and as a plain error.
DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'",
}
ERROR = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '22012'; END $$",
    "mysql": "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
}


class Method:
    """What stands for a ledger: one method, whose first runs the server ends."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.runs = 0

    @ledger_errors
    def call(self, statement: str, *, times: int) -> str:
        self.runs += 1
        with transaction.atomic(using=self._using), connections[self._using].cursor() as cursor:
            if self.runs <= times:
                cursor.execute(statement)
        return "done"


@pytest.fixture(params=["postgresql", *MARIADB])
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def method(vendor: str, request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Method]:
    books: DjangoBooks = request.getfixturevalue(f"django_{vendor}_books")
    with django_db_blocker.unblock():
        yield Method(books.open(clock=Clock(), is_dead=Deaths())._using)


@pytest.mark.parametrize("times", [0, 1, 4])
def test_it_comes_through_in_the_end(method: Method, vendor: str, times: int) -> None:
    assert method.call(DEADLOCK[vendor], times=times) == "done"
    assert method.runs == times + 1


def test_it_is_not_tried_for_ever(method: Method, vendor: str) -> None:
    with pytest.raises(LedgerUnavailableError):
        method.call(DEADLOCK[vendor], times=100)
    assert method.runs == 5


def test_another_error_is_told_at_once(method: Method, vendor: str) -> None:
    with pytest.raises(LedgerError):
        method.call(ERROR[vendor], times=100)
    assert method.runs == 1


def test_within_a_transaction_it_is_told_at_once(method: Method, vendor: str) -> None:
    with pytest.raises(LedgerUnavailableError), transaction.atomic(using=method._using):
        method.call(DEADLOCK[vendor], times=100)
    assert method.runs == 1

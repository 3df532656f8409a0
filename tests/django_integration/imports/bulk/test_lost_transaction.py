"""A transaction that ends under its rows takes earlier ones with it: that is the attempt's end, and no row's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Barrier, Thread
from typing import Any

import polars
import pytest
from django.db import DatabaseError, connections, transaction
from pytest_django import DjangoDbBlocker

from django_integration.imports.savepoints import RowSavepoints
from engine.guard import TransactionLostError
from engine.handlers import BatchAdapter, RowAdapter, RowFailure
from tests.django_integration.myapp.models import Carrier, Departure
from tests.mariadb_server import MARIADB

Answer = dict[str, Any]


@pytest.fixture
def open_tables(tables: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a database on which transactions really commit."""
    with django_db_blocker.unblock():
        yield tables
        Carrier.objects.using(tables).all().delete()


def lose_transaction(using: str) -> None:
    """As MySQL at a deadlock, and SQLite when its disk is full: the transaction is undone, the connection stays."""
    with connections[using].cursor() as cursor:
        cursor.execute("ROLLBACK")


def swallow(using: str) -> Answer:
    lose_transaction(using)
    return {"ok": True, "result": {}}


def refuse(using: str) -> Answer:
    lose_transaction(using)
    return {"ok": False, "error": "deadlock"}


def fail(using: str) -> Answer:
    lose_transaction(using)
    raise DatabaseError("deadlock")


def write_on(using: str) -> Answer:
    lose_transaction(using)
    Carrier.objects.using(using).create(code="new")
    return {"ok": True, "result": {}}


def in_a_block(using: str) -> Answer:
    with transaction.atomic(using=using):
        lose_transaction(using)
        raise DatabaseError("deadlock")


ENDS = pytest.mark.parametrize("end", [swallow, refuse, fail, write_on, in_a_block])


@ENDS
def test_no_row_is_run_after_it_and_nothing_is_committed(open_tables: str, end: Callable[[str], Answer]) -> None:
    run: list[int] = []

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        run.append(row_index)
        Carrier.objects.using(open_tables).create(code=f"r{row_index}")
        return end(open_tables) if row_index == 3 else {"ok": True, "result": {}}

    guard = RowSavepoints(open_tables)
    with pytest.raises(TransactionLostError), transaction.atomic(using=open_tables), guard.watching():
        RowAdapter(handler, "job", {}, guard=guard).run(1, [[str(n)] for n in range(1, 6)])
    assert run == [1, 2, 3]
    assert not Carrier.objects.using(open_tables).filter(code__startswith="r").exists()


@ENDS
def test_no_batch_is_run_after_it_and_nothing_is_committed(open_tables: str, end: Callable[[str], Answer]) -> None:
    run: list[int] = []

    def handler(first_row_index: int, batch: polars.DataFrame, job_id: str, options: dict[str, Any]) -> Answer:
        run.append(first_row_index)
        Carrier.objects.using(open_tables).create(code=f"r{first_row_index}")
        return end(open_tables) if first_row_index == 3 else {"ok": [True] * batch.height}

    guard = RowSavepoints(open_tables)
    with pytest.raises(TransactionLostError), transaction.atomic(using=open_tables), guard.watching():  # noqa: PT012
        adapter = BatchAdapter(handler, "job", {}, column_names=["a"], guard=guard)
        for first in (1, 3, 5):
            adapter.run_frame(first, polars.DataFrame({"a": ["x", "y"]}))
    assert run == [1, 3]
    assert not Carrier.objects.using(open_tables).filter(code__startswith="r").exists()


# What a row's savepoint has to cover

ON_POSTGRESQL = pytest.mark.parametrize("tables", ["postgresql"], indirect=True)


@ON_POSTGRESQL
def test_what_a_refused_row_has_copied_is_gone(open_tables: str) -> None:
    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        statement = f"COPY {Carrier._meta.db_table} (code, name) FROM STDIN"  # of which Django knows nothing
        with connections[open_tables].cursor() as cursor, cursor.copy(statement) as copy:
            copy.write_row((row[0], ""))
        return {"ok": row[0] != "b", "error": "no"}

    guard = RowSavepoints(open_tables)
    with transaction.atomic(using=open_tables), guard.watching():
        outcomes = RowAdapter(handler, "job", {}, guard=guard).run(1, [["a"], ["b"], ["c"]])
    assert [type(each) for each in outcomes] == [type(outcomes[0]), RowFailure, type(outcomes[0])]
    assert set(Carrier.objects.using(open_tables).values_list("code", flat=True)) == {"a", "c"}


@ON_POSTGRESQL
@pytest.mark.parametrize("mode", ["row", "batch"])
def test_a_foreign_key_to_nothing_fails_its_row_alone(open_tables: str, mode: str) -> None:
    carrier = Carrier.objects.using(open_tables).create(code="a")
    keys = [[str(carrier.pk)], ["0"], [str(carrier.pk)]]

    def of_row(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        Departure.objects.using(open_tables).create(carrier_id=int(row[0]), number=row_index)
        return {"ok": True, "result": {}}

    def of_batch(first_row_index: int, batch: polars.DataFrame, job_id: str, options: dict[str, Any]) -> list[Any]:
        for row_index, row in enumerate(batch.iter_rows(), first_row_index):
            of_row(row_index, [*row], job_id, options)
        return [None] * batch.height

    guard = RowSavepoints(open_tables)
    by_batch = BatchAdapter(of_batch, "job", {}, column_names=["a"], guard=guard)
    adapter = RowAdapter(of_row, "job", {}, guard=guard) if mode == "row" else by_batch
    try:
        with transaction.atomic(using=open_tables), guard.watching():
            outcomes = adapter.run(1, keys)
        assert [type(each) is RowFailure for each in outcomes] == [False, True, False]
        assert "violates foreign key constraint" in outcomes[1].message
        assert set(Departure.objects.using(open_tables).values_list("number", flat=True)) == {1, 3}
    finally:
        Departure.objects.using(open_tables).all().delete()


# Locks of others

#: By vendor: what makes the server end a statement as the victim of a deadlock; SQLite has one writer.
DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'",
}
HAVE_LOCKS = pytest.mark.parametrize("tables", ["postgresql", *MARIADB], indirect=True)


def give_way(using: str) -> None:
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(DEADLOCK[connections[using].vendor])


def run_rows(using: str, at_second: Callable[[], Answer], *, may_give_way: bool = True) -> list[Any]:
    """Three rows that write, of which the second does something more."""

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        Carrier.objects.using(using).create(code=f"r{row_index}")
        return at_second() if row_index == 2 else {"ok": True, "result": {}}

    guard = RowSavepoints(using, may_give_way=may_give_way)
    with transaction.atomic(using=using), guard.watching():
        return RowAdapter(handler, "job", {}, guard=guard).run(1, [["a"], ["b"], ["c"]])


@HAVE_LOCKS
@pytest.mark.parametrize("tells", [True, False])
def test_a_row_that_gave_way_and_fails_is_not_to_blame(open_tables: str, tells: bool) -> None:
    def fails() -> Answer:
        try:
            give_way(open_tables)
        except DatabaseError:
            if tells:
                raise
        return {"ok": False, "error": "deadlock detected"}

    with pytest.raises(TransactionLostError, match=r"(?i)deadlock"):
        run_rows(open_tables, fails)
    assert not Carrier.objects.using(open_tables).exists()
    # Where nothing else helps, it is.
    assert [type(each) for each in run_rows(open_tables, fails, may_give_way=False)] == [dict, RowFailure, dict]
    assert set(Carrier.objects.using(open_tables).values_list("code", flat=True)) == {"r1", "r3"}


@HAVE_LOCKS
def test_a_row_that_gave_way_and_did_it_once_more_is_right(open_tables: str) -> None:
    def tries_again() -> Answer:
        with suppress(DatabaseError):
            give_way(open_tables)
        Carrier.objects.using(open_tables).create(code="new")
        return {"ok": True, "result": {}}

    assert run_rows(open_tables, tries_again) == [{}, {}, {}]
    assert Carrier.objects.using(open_tables).count() == 4


@HAVE_LOCKS
def test_a_later_row_that_fails_is_judged_by_itself(open_tables: str) -> None:
    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        Carrier.objects.using(open_tables).create(code=f"r{row_index}")
        if row_index == 1:
            with suppress(DatabaseError):
                give_way(open_tables)
        return {"ok": row_index == 1, "error": "no"}

    guard = RowSavepoints(open_tables)
    with transaction.atomic(using=open_tables), guard.watching():
        outcomes = RowAdapter(handler, "job", {}, guard=guard).run(1, [["a"], ["b"]])
    assert [type(each) for each in outcomes] == [dict, RowFailure]


@HAVE_LOCKS
def test_a_batch_that_refuses_a_row_which_gave_way_is_not_to_blame(open_tables: str) -> None:
    def handler(first_row_index: int, batch: polars.DataFrame, job_id: str, options: dict[str, Any]) -> list[Any]:
        Carrier.objects.using(open_tables).create(code="r1")
        with suppress(DatabaseError):
            give_way(open_tables)
        return [None, options["error"]]

    def run(error: str | None, *, may_give_way: bool = True) -> Any:
        guard = RowSavepoints(open_tables, may_give_way=may_give_way)
        with transaction.atomic(using=open_tables), guard.watching():
            adapter = BatchAdapter(handler, "job", {"error": error}, column_names=["a"], guard=guard)
            return adapter.run(1, [["x"], ["y"]])

    with pytest.raises(TransactionLostError, match=r"(?i)deadlock"):
        run("deadlock detected")
    assert not Carrier.objects.using(open_tables).exists()
    # One that did it once more has refused nothing.
    assert run(None) == [{}, {}]
    Carrier.objects.using(open_tables).all().delete()
    assert run("deadlock detected", may_give_way=False) == [{}, RowFailure("deadlock detected")]


@HAVE_LOCKS
def test_a_row_that_would_not_wait_for_a_lock_is_refused(open_tables: str) -> None:
    Carrier.objects.using(open_tables).create(code="a")
    other = connections[open_tables].copy()

    def will_not_wait() -> Answer:
        try:
            with transaction.atomic(using=open_tables):
                Carrier.objects.using(open_tables).select_for_update(nowait=True).get(code="a")
        except DatabaseError:
            return {"ok": False, "error": "in use"}
        return {"ok": True, "result": {}}

    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {Carrier._meta.db_table} WHERE code = 'a' FOR UPDATE")  # noqa: S608 - the test's
        assert run_rows(open_tables, will_not_wait) == [{}, RowFailure("in use"), {}]
    finally:
        other.rollback()
        other.close()


if MARIADB:

    @pytest.mark.parametrize("tables", MARIADB, indirect=True)
    def test_a_real_deadlock_ends_one_of_two_attempts_whole(open_tables: str) -> None:
        for code in "ab":
            Carrier.objects.using(open_tables).create(code=code, name="")
        both_began = Barrier(2)
        ends: dict[str, Any] = {}

        def attempt(name: str, first: str, second: str) -> None:
            def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
                Carrier.objects.using(open_tables).filter(code=row[0]).update(name=name)
                if row_index == 1:
                    both_began.wait(10)
                return {"ok": True, "result": {}}

            guard = RowSavepoints(open_tables)
            try:
                with transaction.atomic(using=open_tables), guard.watching():
                    ends[name] = RowAdapter(handler, "job", {}, guard=guard).run(1, [[first], [second]])
            except TransactionLostError as error:
                ends[name] = error
            finally:
                connections[open_tables].close()

        threads = [Thread(target=attempt, args=each) for each in (("one", "a", "b"), ("two", "b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (loser,) = [name for name, end in ends.items() if isinstance(end, TransactionLostError)]
        (winner,) = set(ends) - {loser}
        assert ends[winner] == [{}, {}]
        assert set(Carrier.objects.using(open_tables).values_list("name", flat=True)) == {winner}

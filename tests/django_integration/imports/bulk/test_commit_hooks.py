"""What rows register with `transaction.on_commit` runs once for an accepted row, and never for a refused one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from django_integration.imports.savepoints import RowSavepoints
from engine.guard import one_savepoint
from engine.handlers import BatchAdapter, RowAdapter, RowFailure
from tests.django_integration.myapp.models import Carrier

Answer = dict[str, Any]
GOOD: Answer = {"ok": True, "result": {}}
BAD: Answer = {"ok": False, "error": "refused"}


@pytest.fixture
def open_tables(tables: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a database on which transactions really commit."""
    with django_db_blocker.unblock():
        yield tables
        Carrier.objects.using(tables).all().delete()
        assert "on_commit" not in vars(connections[tables])


@pytest.fixture
def run(open_tables: str) -> Callable[[Any, list[str]], list[Any]]:
    """`run(handler, cells)`: outcomes of rows of one cell each, run and committed as a chunk is."""

    def run_rows(handler: Any, cells: list[str]) -> list[Any]:
        guard = RowSavepoints(open_tables)
        with transaction.atomic(using=open_tables, durable=True), guard.watching():
            return RowAdapter(handler, "job", {}, guard=guard).run(1, [[cell] for cell in cells])

    return run_rows


def refuse(cell: str) -> Answer:
    """What the cell says: fine, refused, or raising."""
    if cell == "raise":
        raise ValueError(cell)
    return BAD if cell == "refuse" else GOOD


@pytest.mark.parametrize("does", ["nothing else", "write before", "write after", "write in a block", "fail in a block"])
def test_a_hook_goes_with_its_row(run: Callable[..., list[Any]], open_tables: str, does: str) -> None:
    sent: list[int] = []

    def write(row_index: int) -> None:
        Carrier.objects.using(open_tables).create(code=f"r{row_index}")

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        if does == "write before":
            write(row_index)
        if does.endswith("block"):
            try:
                with transaction.atomic(using=open_tables):
                    write(row_index)
                    transaction.on_commit(partial(sent.append, -row_index), using=open_tables)
                    if does == "fail in a block":
                        raise LookupError
            except LookupError:
                pass
        transaction.on_commit(partial(sent.append, row_index), using=open_tables)
        if does == "write after":
            write(row_index)
        assert sent == []
        return refuse(row[0])

    outcomes = run(handler, ["", "raise", "refuse", "", "refuse", ""])
    assert [isinstance(each, RowFailure) for each in outcomes] == [False, True, True, False, True, False]
    assert sent == ([-1, 1, -4, 4, -6, 6] if does == "write in a block" else [1, 4, 6])
    written = sorted(Carrier.objects.using(open_tables).values_list("code", flat=True))
    assert written == ([] if does in ("nothing else", "fail in a block") else ["r1", "r4", "r6"])


def test_a_swallowed_error_takes_the_hook_with_it(run: Callable[..., list[Any]], open_tables: str) -> None:
    sent: list[int] = []

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        transaction.on_commit(partial(sent.append, row_index), using=open_tables)
        if row_index == 2:
            with suppress(Exception):  # as careless handlers do
                Carrier.objects.using(open_tables).create(code=None)
        return GOOD

    first, second, third = run(handler, ["", "", ""])
    assert (first, third) == ({}, {})
    assert isinstance(second, RowFailure)
    assert sent == [1, 3]


def test_a_hook_that_raises_ends_nothing_but_itself(
    run: Callable[..., list[Any]], open_tables: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[int] = []

    def send(row_index: int) -> None:
        if row_index == 2:
            raise SystemExit("the mail library's idea")
        sent.append(row_index)

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        transaction.on_commit(partial(send, row_index), using=open_tables)
        return GOOD

    with caplog.at_level(logging.ERROR):
        assert run(handler, ["", "", ""]) == [{}, {}, {}]
    assert sent == [1, 3]
    assert [record.message for record in caplog.records] == ["commit hook of a row failed"]


def test_what_is_no_hook_fails_its_row(run: Callable[..., list[Any]], open_tables: str) -> None:
    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        transaction.on_commit("send mail", using=open_tables)  # type: ignore[arg-type]
        return GOOD

    (failure,) = run(handler, [""])
    assert "must be a callable" in failure.message


def test_a_chunk_that_is_not_committed_runs_no_hook(open_tables: str) -> None:
    sent: list[int] = []
    guard = RowSavepoints(open_tables)

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Answer:
        transaction.on_commit(partial(sent.append, row_index), using=open_tables)
        return GOOD

    with pytest.raises(LookupError), transaction.atomic(using=open_tables), guard.watching():  # noqa: PT012
        RowAdapter(handler, "job", {}, guard=guard).run(1, [[""]])
        raise LookupError
    assert sent == []


def test_halves_of_a_batch_that_raised_register_their_hooks_once(open_tables: str) -> None:
    sent: list[tuple[int, int]] = []
    guard = RowSavepoints(open_tables)

    def handler(first_row_index: int, batch: Any, job_id: str, options: dict[str, Any]) -> list[None]:
        transaction.on_commit(partial(sent.append, (first_row_index, batch.height)), using=open_tables)
        if "raise" in batch["a"]:
            raise ValueError("raise")
        return [None] * batch.height

    with transaction.atomic(using=open_tables, durable=True), guard.watching():
        adapter = BatchAdapter(handler, "job", {}, column_names=["a"], guard=guard)
        outcomes = adapter.run(1, [[cell] for cell in ("", "", "raise", "")])
    assert [isinstance(each, RowFailure) for each in outcomes] == [False, False, True, False]
    assert sorted(sent) == [(1, 2), (4, 1)]


def test_one_savepoint_undoes_a_hook_without_statements(open_tables: str) -> None:
    sent: list[int] = []
    guard = RowSavepoints(open_tables)
    with transaction.atomic(using=open_tables, durable=True), guard.watching():
        with pytest.raises(LookupError), one_savepoint(guard):  # noqa: PT012
            transaction.on_commit(partial(sent.append, 1), using=open_tables)
            raise LookupError
        with one_savepoint(guard):
            transaction.on_commit(partial(sent.append, 2), using=open_tables)
    assert sent == [2]

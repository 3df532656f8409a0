"""A query made into SQL once gives what the ORM gives, for every value and on every database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import F, QuerySet
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from django_integration.files.models import FileModel
from django_integration.imports.ledger.compiled import Compiled, record_of, values_of
from django_integration.imports.models import ImportChunk, ImportJob

FIELDS = ImportChunk._meta.concrete_fields
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
CHANGES = st.fixed_dictionaries(
    {
        "token": TEXTS | st.none(),
        "changed_at": st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)) | st.none(),
        "success_count": st.integers(0, 2**31 - 1),
        "success_bytes": st.integers(0, 2**62) | st.none(),
        "messages": st.dictionaries(TEXTS, st.integers(0, 2**31)),
    }
)


@pytest.fixture(params=["sqlite", "postgresql"])
def using(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a migrated database whose transaction is rolled back."""
    request.getfixturevalue(f"django_{request.param}_books")
    alias = f"books_{request.param}"
    with django_db_blocker.unblock(), transaction.atomic(using=alias):
        yield alias
        transaction.set_rollback(True, using=alias)


@pytest.fixture
def job(using: str) -> ImportJob:
    file = FileModel.objects.using(using).create(purpose="test", file_name="a.csv", file_path=f"{uuid4()}.csv")
    job: ImportJob = ImportJob.objects.using(using).create(file=file, handler_path="a.b")
    for index in range(3):
        ImportChunk.objects.using(using).create(
            job=job, chunk_index=index, byte_start=0, byte_end=9, first_row_index=1, row_count=1, first_line_number=1
        )
    return job


def chunk(using: str, job: UUID, chunk_index: int) -> QuerySet[ImportChunk]:
    return ImportChunk.objects.using(using).filter(job_id=job, chunk_index=chunk_index).order_by()


def test_updates_and_rows_are_those_of_the_orm(using: str, job: ImportJob) -> None:
    where = values_of(ImportChunk, job=UUID, chunk_index=int)
    values = values_of(ImportChunk, token=str, changed_at=datetime, success_count=int, success_bytes=int, messages=dict)
    update = Compiled(
        using,
        lambda job, chunk_index, **_: chunk(using, job, chunk_index),
        where | values,
        changes=lambda **given: {**{name: given[name] for name in values}, "attempt": F("attempt") + 1},
    )
    names = [field.attname for field in FIELDS]
    read = Compiled(using, lambda **values: chunk(using, **values).values_list(*names), where)
    attempts = 0

    @given(changes=CHANGES)
    def check(changes: dict[str, Any]) -> None:
        nonlocal attempts
        assert update.count(job=job.pk, chunk_index=1, **changes) == 1
        attempts += 1
        record = chunk(using, job.pk, 1).get()
        assert {name: getattr(record, name) for name in changes} == changes
        assert record.attempt == attempts
        (row,) = read.rows(job=job.pk, chunk_index=1)
        again = record_of(ImportChunk, using, FIELDS, row)
        assert {name: getattr(again, name) for name in names} == {name: getattr(record, name) for name in names}

    check()
    assert (
        update.count(
            job=job.pk, chunk_index=7, token=None, changed_at=None, success_count=0, success_bytes=0, messages={}
        )
        == 0
    )
    assert read.rows(job=uuid4(), chunk_index=1) == []
    untouched = ImportChunk.objects.using(using).filter(job=job, attempt=0)
    assert untouched.count() == 2


@pytest.mark.parametrize("using", ["postgresql"], indirect=True)
def test_an_update_gives_its_rows_back(using: str, job: ImportJob) -> None:
    update = Compiled(
        using,
        lambda job, chunk_index, **_: chunk(using, job, chunk_index),
        values_of(ImportChunk, job=UUID, chunk_index=int, messages=dict),
        changes=lambda messages, **_: {"messages": messages, "attempt": F("attempt") + 1},
        returning=FIELDS,
    )
    (row,) = update.rows(job=job.pk, chunk_index=2, messages={"ä": 1})
    given_back = record_of(ImportChunk, using, FIELDS, row)
    assert given_back == chunk(using, job.pk, 2).get()
    assert (given_back.attempt, given_back.messages, given_back.job_id) == (1, {"ä": 1}, job.pk)
    assert update.rows(job=job.pk, chunk_index=9, messages={}) == []


def test_a_value_that_the_query_has_no_place_for_is_a_mistake(using: str) -> None:
    query = Compiled(
        using,
        lambda job, **_: ImportChunk.objects.using(using).filter(job_id=job),
        values_of(ImportChunk, job=UUID, chunk_index=int),
    )
    with pytest.raises(AssertionError, match="no place for chunk_index"):
        query.rows(job=uuid4(), chunk_index=1)

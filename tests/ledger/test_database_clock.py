# ruff: noqa: S106 - tokens are no passwords
"""Leases in PostgreSQL are counted by its clock: what the machines' own say, or are set to, ends none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from django_integration.imports.ledger.clock import ASKED_EVERY_SECONDS, DatabaseClock
from django_integration.imports.models import ImportChunk
from tests.ledger.builders import LEASE_SECONDS, NOW, RESEND_SECONDS, STORAGE_ROOT, start
from tests.ledger.django_books import DjangoBooks, LedgerWithJobs

HOUR = timedelta(hours=1)


@pytest.fixture
def alias(django_postgresql_books: DjangoBooks, django_db_blocker: DjangoDbBlocker, settings: Any) -> Iterator[str]:
    settings.FILES_STORAGE_URL = STORAGE_ROOT
    with django_db_blocker.unblock():
        django_postgresql_books.empty()
        yield django_postgresql_books.open(clock=lambda: NOW.timestamp(), is_dead=lambda _: None)._using


@pytest.mark.parametrize("own_clock", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_machine_whose_clock_is_wrong_takes_no_chunk_from_the_living(
    alias: str, monkeypatch: pytest.MonkeyPatch, own_clock: timedelta
) -> None:
    ledger = LedgerWithJobs(alias, is_dead=lambda _: None)
    job_id = start(ledger)
    claim = ledger.claim(job_id, 0, owner="on another machine", token="t")
    assert claim is not None
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + own_clock)
    wrong = LedgerWithJobs(alias, is_dead=lambda _: None)
    limits = {"lease_seconds": LEASE_SECONDS, "resend_after_seconds": RESEND_SECONDS}
    assert wrong.take_back(job_id, **limits) == []
    assert wrong.job(job_id).seconds_since_heartbeat < LEASE_SECONDS
    assert wrong.heartbeat(claim)
    monkeypatch.undo()
    assert ledger.take_back(job_id, **limits) == []
    ledger.close()


def test_the_time_is_the_databases_and_goes_on_without_asking_it_for_a_while(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    clock = DatabaseClock(alias, monotonic=lambda: passed)
    before = datetime.now(UTC)
    monkeypatch.setattr(timezone, "now", lambda: before + HOUR)
    first = clock()
    assert before - timedelta(seconds=1) <= first <= datetime.now(UTC)
    passed = ASKED_EVERY_SECONDS
    assert clock() == first + timedelta(seconds=ASKED_EVERY_SECONDS)
    passed += 1
    with transaction.atomic(using=alias):
        assert clock() == first + timedelta(seconds=ASKED_EVERY_SECONDS + 1)  # not asked, as an error would end it
    assert first <= clock() <= datetime.now(UTC)
    connections[alias].close()


def test_a_database_without_a_clock_of_its_own_has_the_machines(
    django_sqlite_books: DjangoBooks, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    with django_db_blocker.unblock():
        books = django_sqlite_books.open(clock=lambda: 0.0, is_dead=lambda _: None)
        assert DatabaseClock(books._using)() == NOW
        books.close()


def test_leases_are_counted_where_the_project_has_no_time_zones(alias: str, settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Kathmandu"
    ledger = LedgerWithJobs(alias, is_dead=lambda _: None)
    job_id = start(ledger)
    claim = ledger.claim(job_id, 0, owner="on another machine", token="t")
    assert claim is not None
    limits = {"lease_seconds": LEASE_SECONDS, "resend_after_seconds": RESEND_SECONDS}
    assert ledger.take_back(job_id, **limits) == []
    assert ledger.heartbeat(claim)
    assert ledger.job(job_id).seconds_since_heartbeat < LEASE_SECONDS
    chunks = ImportChunk.objects.using(alias)
    chunks.update(changed_at=chunks.get(chunk_index=0).changed_at - timedelta(seconds=LEASE_SECONDS))
    assert ledger.take_back(job_id, **limits) == [0]
    ledger.close()

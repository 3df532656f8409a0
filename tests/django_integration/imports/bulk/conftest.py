"""The test models' tables in databases of their own: SQLite and PostgreSQL."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from tests.django_integration.myapp.models import Carrier, Departure, Station
from tests.mariadb_server import MARIADB, make_mariadb_database

MODELS = (Carrier, Departure, Station)


@pytest.fixture(scope="session", params=["sqlite3", "postgresql", *MARIADB])
def tables(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The alias of a database with empty tables."""
    alias = f"bulk_{request.param}"
    settings: dict[str, Any] = copy.deepcopy(connections["default"].settings_dict)
    # A file: Django never closes a database in memory.
    path = tmp_path_factory.mktemp("bulk") / "tables.sqlite3"
    settings |= {"ENGINE": f"django.db.backends.{request.param}", "NAME": str(path), "OPTIONS": {}}
    if request.param == "postgresql":
        parts = urlsplit(request.getfixturevalue("postgres_url"))
        settings |= {"NAME": parts.path.lstrip("/"), "USER": parts.username, "HOST": parts.hostname}
        settings |= {"PASSWORD": parts.password or "", "PORT": parts.port}
    elif request.param == "mysql":
        parts = urlsplit(make_mariadb_database(request.getfixturevalue("mariadb_url")))
        settings |= {"NAME": parts.path.lstrip("/"), "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port}
    with django_db_blocker.unblock():
        connections.databases[alias] = settings
        connection = connections[alias]
        with connection.schema_editor() as editor:
            for model in MODELS:
                editor.create_model(model)
        try:
            yield alias
        finally:
            if request.param == "postgresql":
                with connection.cursor() as cursor:
                    for model in reversed(MODELS):
                        cursor.execute(f'DROP TABLE "{model._meta.db_table}"')
            connection.close()
            del connections.databases[alias], connections[alias]


@pytest.fixture
def using(tables: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a database whose transaction is rolled back after the test; two carriers are in it."""
    with django_db_blocker.unblock(), transaction.atomic(using=tables):
        Carrier.objects.using(tables).bulk_create([Carrier(code="AA", name="same"), Carrier(code="BB", name="same")])
        yield tables
        transaction.set_rollback(True, using=tables)

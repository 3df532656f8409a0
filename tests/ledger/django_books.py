"""The Django ledger on a real database of its own, opened by handles with a connection each."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psycopg
from django.core.management import call_command
from django.db import connections

from django_integration.files.models import FileModel
from django_integration.imports.ledger import DjangoLedger
from django_integration.imports.models import ImportChunk, ImportJob
from engine.model import Job
from tests.ledger.builders import STORAGE_ROOT, Clock, Deaths
from tests.mariadb_server import make_mariadb_database


class LedgerWithJobs(DjangoLedger):
    """Makes a job's row as `services.start` does: with the record of the uploaded file."""

    def create_job(self, job: Job, *, check: Callable[[], None] = lambda: None) -> None:
        check()
        file, _ = FileModel.objects.using(self._using).get_or_create(
            file_path=job.source.url.removeprefix(f"{STORAGE_ROOT}/"),
            defaults={"purpose": "test", "file_name": "people.csv", "is_confirmed": True},
        )
        row = ImportJob(
            id=UUID(job.job_id),
            file=file,
            handler_path=job.handler_path,
            handler_mode=job.handler_mode,
            options=dict(job.options),
            source_size=job.source.size_bytes,
            source_etag=job.source.etag,
        )
        row.save(using=self._using, force_insert=True)
        # The column sets itself to the present.
        ImportJob.objects.using(self._using).filter(pk=row.pk).update(created_at=job.created_at)


class DjangoBooks:
    """A migrated database, known to Django by an alias for every handle."""

    def __init__(self, alias: str, server: str | None) -> None:
        self._aliases = [alias]
        self._server = server

    def open(self, *, clock: Clock, is_dead: Deaths) -> LedgerWithJobs:
        """A further handle, with a connection of its own."""
        alias = f"{self._aliases[0]}_{len(self._aliases)}"
        connections.databases[alias] = copy.deepcopy(connections.databases[self._aliases[0]])
        self._aliases.append(alias)
        return LedgerWithJobs(alias, clock=lambda: datetime.fromtimestamp(clock(), UTC), is_dead=is_dead)

    def empty(self) -> None:
        """Take out what the test before has left."""
        for model in (ImportChunk, ImportJob, FileModel):
            model.objects.using(self._aliases[0]).all().delete()

    def remove(self) -> None:
        """Close all connections, and drop the database where it is on a server."""
        name = connections.databases[self._aliases[0]]["NAME"]
        for alias in self._aliases:
            connections[alias].close()
            del connections.databases[alias], connections[alias]
        if self._server is not None:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}"')


def migrated_books(vendor: str, where: str) -> DjangoBooks:
    """A database with the project's tables, made by its migrations.

    Args:
        vendor: "sqlite", "postgresql" or "mysql", which stands for MariaDB.
        where: the file, or the URL of the server.
    """
    alias = f"books_{vendor}"
    settings = copy.deepcopy(connections["default"].settings_dict)
    if vendor == "sqlite":
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20}
        settings |= {"ENGINE": "django.db.backends.sqlite3", "NAME": where, "OPTIONS": options}
    elif vendor == "mysql":
        parts = urlsplit(make_mariadb_database(where))
        settings |= {"ENGINE": "django.db.backends.mysql", "NAME": parts.path.lstrip("/"), "OPTIONS": {}}
        settings |= {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username}
    else:
        parts, name = urlsplit(where), f"books_{secrets.token_hex(4)}"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        settings |= {"ENGINE": "django.db.backends.postgresql", "NAME": name, "OPTIONS": {}}
        settings |= {"HOST": parts.hostname, "PORT": parts.port, "USER": unquote(parts.username or "")}
        settings |= {"PASSWORD": unquote(parts.password or "")}
    connections.databases[alias] = settings
    call_command("migrate", database=alias, verbosity=0)
    return DjangoBooks(alias, where if vendor == "postgresql" else None)

"""The database of the imports, for whoever asks a model of theirs."""

from __future__ import annotations

from typing import TypeVar

from django.db import models

from django_integration.conf import import_settings

_Record = TypeVar("_Record", bound=models.Model)


class PrimaryManager(models.Manager[_Record]):
    """Reads where the imports are written (IMPORT_DATABASE), whatever a router says.

    A replica lags: on it a file that was just confirmed is none, a job that was just started is not found, its repeat
    under the same Idempotency-Key is a second one, and quotas are counted too low.
    """

    def get_queryset(self) -> models.QuerySet[_Record]:
        """All records, unless somebody named a database; what belongs to a record, from where that was read."""
        records = super().get_queryset()
        if self._db:
            return records
        # A manager of related records has the one, that of a foreign key is told it as a hint.
        record = getattr(self, "instance", None) or self._hints.get("instance")  # type: ignore[attr-defined]
        return records.using((record and record._state.db) or import_settings().database)

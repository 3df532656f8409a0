"""What django-import-export-extensions is told of the people."""

from __future__ import annotations

from import_export.fields import Field
from import_export_extensions.resources import CeleryModelResource

from benchmarks.cases.model_resources import EmailChecked
from benchmarks.cases.model_resources import People as PlainPeople


class BulkPeople(EmailChecked, CeleryModelResource):
    """By `bulk_create` and `bulk_update`."""

    number = Field(attribute="number", column_name="id")

    class Meta(PlainPeople.Meta):
        use_bulk = True
        batch_size = 1000

"""What django-import-export is told of the people."""

from __future__ import annotations

from typing import Any

from import_export import resources
from import_export.fields import Field

from benchmarks.project.models import Person


class EmailChecked:
    """A row without an @ is skipped; a refused row must not undo the others."""

    def skip_row(self, instance: Person, original: Any, row: Any, *more: Any, **named: Any) -> bool:  # noqa: ARG002
        """See django-import-export."""
        return "@" not in row["email"]


class People(EmailChecked, resources.ModelResource):
    """Row by row."""

    number = Field(attribute="number", column_name="id")

    class Meta:
        model = Person
        fields = ("number", "first", "last", "email", "phone", "amount", "date", "country", "note", "flag")
        import_id_fields = ("number",)


class BulkPeople(People):
    """By `bulk_create` and `bulk_update`."""

    class Meta(People.Meta):
        use_bulk = True
        batch_size = 1000

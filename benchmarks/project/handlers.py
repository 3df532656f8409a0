"""The batch handler that saves people."""

from __future__ import annotations

from benchmarks.people import HEADER
from benchmarks.project.models import Person
from django_integration.imports.bulk import bulk_upsert

save_people = bulk_upsert(
    Person,
    match=("number",),
    columns={"number": "id", **{name: name for name in HEADER if name != "id"}},
    on_match="update",
)

"""One row as a plain handler would save it: find, then update or create. What all faster ways are measured by."""

from __future__ import annotations

from django_integration.imports.bulk.records import Records, Stored


def store_one(records: Records, position: int, using: str) -> Stored:
    """Write one row as `on_match` has it; a match is written only when that is "update".

    Raises:
        django.db.DatabaseError: the database refused the row.
    """
    plan = records.plan
    manager = plan.model._base_manager.using(using)
    pk = manager.filter(**records.match_filter(position)).values_list("pk", flat=True).first()
    instance = records.instance(position)
    if pk is None:
        (created,) = manager.bulk_create([instance])
        return created.pk, True
    if plan.on_match == "update" and plan.written:
        changes = {field.attname: field.pre_save(instance, False) for field in plan.written}
        manager.filter(pk=pk).update(**changes)
    return pk, False

"""Rows by COPY into a temporary table and one `INSERT … SELECT … ON CONFLICT`, on PostgreSQL with psycopg 3."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from django.db import connections, models

from django_integration.imports.bulk.columns import AnyField, UpsertPlan
from django_integration.imports.bulk.records import Records, Stored, UncertainOutcomeError

if TYPE_CHECKING:
    import polars

_PLAIN_PRE_SAVE = {
    models.Field.pre_save,
    models.DateField.pre_save,
    models.DateTimeField.pre_save,
    models.TimeField.pre_save,
}

#: Fields whose cleaned values psycopg writes as they are.
NATIVE = {
    models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField, models.BooleanField,
    models.IntegerField, models.BigIntegerField, models.SmallIntegerField, models.PositiveIntegerField,
    models.PositiveBigIntegerField, models.PositiveSmallIntegerField, models.AutoField, models.BigAutoField,
    models.DecimalField, models.FloatField, models.DateField, models.TimeField, models.UUIDField,
}  # fmt: skip


def can_copy(plan: UpsertPlan, using: str) -> bool:
    """Whether COPY gives this model's fields exactly what `Model.save` would."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    mapped = {each.field for each in plan.mapped}
    return is_psycopg3 and all(
        type(field).pre_save in _PLAIN_PRE_SAVE
        and not hasattr(field, "get_placeholder")
        and not (field in mapped and (getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)))
        for field in plan.model._meta.concrete_fields
        if not getattr(field, "generated", False)
    )


def store_rows(records: Records, positions: Sequence[int], using: str) -> list[Stored]:
    """Write rows of different keys in their order; all or none, when called inside a savepoint.

    The rows are inserted in the order of the file, and constraints are looked at row by row, so that a statement
    that succeeds means that each row alone would have.

    Raises:
        django.db.DatabaseError: the database refused some row.
        UncertainOutcomeError: the database wrote more or fewer records than it was given rows.
    """
    fields = inserted_fields(records.plan)
    values = [_values(records, field, positions, using) for field in fields]

    def write(copy: Any) -> None:
        write_row = copy.write_row
        for row in zip(range(len(positions)), *values, strict=False):
            write_row(row)

    return _store(records.plan, fields, len(positions), write, using)


def store_frame(plan: UpsertPlan, frame: polars.DataFrame, using: str) -> list[Stored]:
    """As `store_rows`, for rows that are texts already (`columnar.text_frame`). Raises as that does."""
    fields = inserted_fields(plan)
    numbered = frame.select([field.column for field in fields]).with_row_index("rowmill_position")
    data = numbered.write_csv(include_header=False, separator="\t", quote_style="never", null_value="\\N")
    return _store(plan, fields, frame.height, lambda copy: copy.write(data), using)


def _store(
    plan: UpsertPlan, fields: Sequence[AnyField], count: int, write: Callable[[Any], None], using: str
) -> list[Stored]:
    """Let `write` fill a temporary table through COPY, a column of positions first, and merge it into the model's.

    No statement sorts: a temporary table of one COPY, with no index, can be read in one way only, from its first page
    on and by one process, and those are the rows as they came.
    """
    connection = connections[using]
    quote: Callable[[str | None], str] = connection.ops.quote_name  # type: ignore[assignment]
    staged = quote(f"rowmill_upsert_{secrets.token_hex(8)}")
    target = quote(plan.model._meta.db_table)
    columns = ", ".join(quote(field.column) for field in fields)
    keys = ", ".join(quote(field.column) for field in plan.match)
    pk = quote(plan.model._meta.pk.column)
    same = " AND ".join(f"s.{quote(field.column)} = t.{quote(field.column)}" for field in plan.match)
    insert = f"INSERT INTO {target} AS t ({columns}) SELECT {columns} FROM {staged}"  # noqa: S608 - own names
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {staged} USING heap ON COMMIT DROP AS"  # noqa: S608 - names of our own, quoted
            f" SELECT 0 AS rowmill_position, {columns} FROM {target} WITH NO DATA"
        )
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {staged} (rowmill_position, {columns}) FROM STDIN") as copy,
        ):
            write(copy)
        if plan.on_match == "update" and plan.written:
            changes = ", ".join(f"{quote(field.column)} = EXCLUDED.{quote(field.column)}" for field in plan.written)
            # xmax is zero in a record that this statement inserted, and not in one that it locked and updated.
            cursor.execute(f"{insert} ON CONFLICT ({keys}) DO UPDATE SET {changes} RETURNING t.{pk}, t.xmax = 0")
            stored: list[Stored] = cursor.fetchall()
        else:
            cursor.execute(
                f"DELETE FROM {staged} s USING {target} t WHERE {same} RETURNING s.rowmill_position, t.{pk}"  # noqa: S608 - own names
            )
            found = dict(cursor.fetchall())
            cursor.execute(f"{insert} ON CONFLICT ({keys}) DO NOTHING RETURNING t.{pk}")
            created_keys = [key for (key,) in cursor.fetchall()]
            if len(created_keys) + len(found) != count:
                raise UncertainOutcomeError
            created = iter(created_keys)
            stored = [(found[number], False) if number in found else (next(created), True) for number in range(count)]
        cursor.execute(f"DROP TABLE {staged}")
    if len(stored) != count:
        raise UncertainOutcomeError
    return stored


def inserted_fields(plan: UpsertPlan) -> list[AnyField]:
    """The fields of a new record that do not get their value from the database."""
    mapped = {each.field for each in plan.mapped}
    return [
        field
        for field in plan.model._meta.concrete_fields
        if field in mapped
        or not (
            getattr(field, "generated", False)
            or isinstance(field, models.AutoField)
            or field.db_default is not models.NOT_PROVIDED
        )
    ]


def is_native(field: AnyField) -> bool:
    """Whether cleaned values of the field, or keys that it refers to, are sent to the database as they are."""
    return type(field) in NATIVE or (
        field.is_relation and type(field.target_field) in NATIVE  # type: ignore[attr-defined]
    )


def _values(records: Records, field: AnyField, positions: Sequence[int], using: str) -> Iterable[Any]:
    """What COPY is given for a field, one value a row."""
    connection = connections[using]
    prepare: Callable[[Any], Any] = lambda value: field.get_db_prep_save(value, connection)  # noqa: E731
    if field in records.values:
        column = records.column(field, positions)
        return column if is_native(field) else map(prepare, column)
    return default_values(records.plan, field, len(positions), using)


def default_values(plan: UpsertPlan, field: AnyField, count: int, using: str) -> Iterable[Any]:
    """What COPY is given for a field without a column, for as many new records."""
    connection = connections[using]
    prepare: Callable[[Any], Any] = lambda value: field.get_db_prep_save(value, connection)  # noqa: E731
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False) or not callable(field.default):
        return repeat(prepare(field.pre_save(plan.model(), True)), count)
    return (prepare(field.get_default()) for _ in range(count))

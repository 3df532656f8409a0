"""Queries of the ORM that are made into SQL once a process: to make the text takes longer than to run it.

The text, and how values are written and read, are Django's, for whichever database there is. A query is made with a
marker in the place of each value that differs between two runs; among the parameters that come with the text each
marker then gives its place to the value.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from django.db import connections
from django.db.models import Field, Model, QuerySet
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

from django_integration.imports.moments import kept

AnyField: TypeAlias = "Field[Any, Any]"
_Record = TypeVar("_Record", bound=Model)
#: Stands for the first value of its kind while a query is made; no query holds it by itself.
_MARKERS: Mapping[type, Any] = {
    UUID: UUID("5dd2be0e-0e7c-4c0e-9c8a-6f1f1b7f0d11"),
    int: 1_913_471_001,
    str: "marker 5dd2be0e",
    datetime.datetime: datetime.datetime(1913, 4, 7, tzinfo=datetime.UTC),
    dict: {"marker": "5dd2be0e"},
}


@dataclass(frozen=True, slots=True)
class _Made:
    sql: str
    parameters: list[Any]
    places: list[tuple[int, str]]
    """Where a value goes, and its name."""
    converters: Mapping[int, tuple[list[Callable[..., Any]], Any]]
    """Position of a column → what makes of it what the ORM gives, and the expression that it stands for."""


class Compiled:
    """One query of one database; an update where there are `changes`."""

    def __init__(
        self,
        using: str,
        make: Callable[..., QuerySet[Any, Any]],
        values: Mapping[str, tuple[AnyField, type]],
        *,
        changes: Callable[..., Mapping[str, Any]] | None = None,
        returning: Sequence[AnyField] = (),
    ) -> None:
        """
        Args:
            make: gives the query; called once, with a marker for each of `values` by its name.
            values: name → the field as which the value is written, and its type; see `values_of`.
            changes: called likewise; the columns that are set.
            returning: of an update, on databases that can: the columns of the changed rows that are given back.
        """
        self._using = using
        self._make = make
        self._values = values
        self._changes = changes
        self._returning = returning
        self._made: _Made | None = None

    def rows(self, **values: Any) -> list[list[Any]]:
        """Run it; the rows, their values as the ORM gives them."""
        with connections[self._using].cursor() as cursor:
            made = self._run(cursor, values)
            found = [list(row) for row in cursor.fetchall()]
        connection = connections[self._using]
        for row in found:
            for place, (converters, expression) in made.converters.items():
                for convert in converters:
                    row[place] = convert(row[place], expression, connection)
        return found

    def count(self, **values: Any) -> int:
        """Run it; how many rows it changed."""
        with connections[self._using].cursor() as cursor:
            self._run(cursor, values)
            return int(cursor.rowcount)

    def _run(self, cursor: Any, values: Mapping[str, Any]) -> _Made:
        if self._made is None:
            self._made = self._compile()
        parameters = self._made.parameters.copy()
        written = self._written(values)
        for place, name in self._made.places:
            parameters[place] = written[name]
        cursor.execute(self._made.sql, parameters)
        return self._made

    def _written(self, values: Mapping[str, Any]) -> dict[str, Any]:
        connection = connections[self._using]
        return {name: self._values[name][0].get_db_prep_save(value, connection) for name, value in values.items()}

    def _compile(self) -> _Made:
        markers = {name: _marker(kind, number) for number, (name, (_, kind)) in enumerate(self._values.items())}
        query: Any = self._make(**markers).query
        if self._changes is not None:
            query = query.chain(UpdateQuery)
            query.add_update_values(dict(self._changes(**markers)))
        compiler: SQLCompiler = query.get_compiler(self._using)
        sql, parameters = compiler.as_sql()
        columns = [column for column, *_ in compiler.select or ()]
        if self._returning:
            columns = [field.get_col(field.model._meta.db_table) for field in self._returning]
            names = ", ".join(compiler.connection.ops.quote_name(str(field.column)) for field in self._returning)
            sql = f"{sql} RETURNING {names}"
        written = self._written(markers)
        places = [
            (place, name)
            for place, parameter in enumerate(parameters)
            for name, marker in written.items()
            if _is_same(parameter, marker)
        ]
        if missing := set(markers) - {name for _, name in places}:
            raise AssertionError(f"There is no place for {', '.join(sorted(missing))} in: {sql}")
        return _Made(sql, list(parameters), places, compiler.get_converters(columns))


def values_of(model: type[Model], **kinds: type) -> dict[str, tuple[AnyField, type]]:
    """Values that are written like the model's fields of the same names."""
    return {name: (model._meta.get_field(name), kind) for name, kind in kinds.items()}  # type: ignore[misc]


def record_of(model: type[_Record], using: str, fields: Iterable[AnyField], values: list[Any]) -> _Record:
    """A record of the model from values of its columns."""
    return model.from_db(using, [field.attname for field in fields], values)


def _marker(kind: type, number: int) -> Any:
    marker = _MARKERS[kind]
    if isinstance(marker, UUID):
        return UUID(int=marker.int + number)
    if isinstance(marker, datetime.datetime):
        return kept(marker + datetime.timedelta(minutes=number))
    if isinstance(marker, dict):
        return {**marker, "number": number}
    return marker + number if isinstance(marker, int) else f"{marker} {number}"


def _is_same(parameter: Any, marker: Any) -> bool:
    if type(parameter) is not type(marker):
        return False
    # psycopg has JSON in an object around the value.
    return bool(parameter == marker) or (hasattr(marker, "obj") and bool(parameter.obj == marker.obj))

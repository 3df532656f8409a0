"""`bulk_upsert`: a batch handler made from a model and a mapping of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction

from django_integration.conf import import_settings
from django_integration.imports.bulk.cleaning import clean_column, parse_column
from django_integration.imports.bulk.columnar import text_frame
from django_integration.imports.bulk.columns import (
    AnyField,
    AnyModel,
    OnMatch,
    Source,
    UpsertPlan,
    check_columns,
)
from django_integration.imports.bulk.lookups import look_up
from django_integration.imports.bulk.outcome import Outcome, clipped, shown
from django_integration.imports.bulk.records import Records
from django_integration.imports.bulk.serialized import save_rows
from django_integration.imports.bulk.writing import goes_by_frames, write_frame, write_rows

if TYPE_CHECKING:
    import polars
    from rest_framework.serializers import BaseSerializer


class BulkUpsert:
    """A batch handler that writes each row into a model's table, with the outcome of row by row.

    Made by `bulk_upsert`. It keeps no state between batches, so a second run of a batch does what the first did,
    over what the first left: creates become updates.
    """

    #: What marks a handler of batches; set on the class so that every instance carries it.
    _rowmill_batch = True

    def __init__(
        self,
        model: AnyModel,
        *,
        match: Sequence[str],
        columns: Mapping[str, Source],
        on_match: OnMatch,
        serializer: type[BaseSerializer[Any]] | None,
        using: str | None,
    ) -> None:
        self._model = model
        self._match = match
        self._columns = dict(columns)
        self._on_match = on_match
        self._serializer = serializer
        self._using = using
        self._checked: UpsertPlan | None = None
        if apps.models_ready:  # else foreign keys do not know their models yet
            self.plan()

    def plan(self) -> UpsertPlan:
        """The checked mapping. Raises ImproperlyConfigured when it does not fit the model."""
        if self._checked is None:
            self._checked = check_columns(self._model, self._match, self._columns, self._on_match)
        return self._checked

    def __call__(
        self, first_row_index: int, batch: polars.DataFrame, import_job_id: str, options: dict[str, Any], /
    ) -> dict[str, list[Any]]:
        """Write a batch inside the transaction at hand.

        Args:
            batch: columns of text, named by the file's header.

        Returns:
            `{"error": […], "result": […]}`, an entry per row: None or a message; `{"id": …, "created": …}` or None.
        """
        plan = self.plan().of_job(options)
        batch, unsaid = _with_options(plan, batch, options)
        if unsaid:
            message = clipped(f"The job has no option {', '.join(map(shown, unsaid))}.")
            return {"error": [message] * batch.height, "result": [None] * batch.height}
        missing = [each.column for each in plan.mapped if each.column not in batch.columns]
        if missing:
            names = ", ".join(shown(name) for name in missing)
            message = clipped(f"The file has no column {names}; it has {', '.join(map(shown, batch.columns))}.")
            return {"error": [message] * batch.height, "result": [None] * batch.height}
        using = self._using or import_settings().database
        with transaction.atomic(using=using):
            if not plan.looks_up_itself:
                return _upsert(plan, batch, using, self._serializer)
            # A row may name the record that the row before it makes.
            answer: dict[str, list[Any]] = {"error": [], "result": []}
            for number in range(batch.height):
                for name, column in _upsert(plan, batch.slice(number, 1), using, self._serializer).items():
                    answer[name].extend(column)
            return answer


def bulk_upsert(
    model: AnyModel,
    *,
    match: Sequence[str],
    columns: Mapping[str, Source],
    on_match: OnMatch = "update",
    serializer: type[BaseSerializer[Any]] | None = None,
    using: str | None = None,
) -> BulkUpsert:
    """A batch handler that creates or updates a record of `model` per row.

    Its outcome, and the table afterwards, are those of a loop that cleans every mapped field, finds the record by
    `match`, and updates or creates it, a savepoint around each row. Signals are not sent and an overridden `save()` or
    `clean()` is not called, as with `bulk_create`; defaults, `auto_now` and `pre_save` of fields hold.

    Args:
        match: the fields that say which record a row means; a unique constraint must cover exactly these.
        columns: per field of the model the file's column, its name, a `Column` or a `Lookup`, or an `Option` of the
            job. A foreign key with a plain name, or an option, is looked up by the key it refers to.
        on_match: what becomes of a row whose record is there, whether from before, from another batch or from an
            earlier row: "update" writes it (so the last row wins), "skip" accepts the row and writes nothing, "error"
            refuses it.
        serializer: a DRF serializer that validates and saves in place of the model's fields: it is given the cells by
            the names of the model's fields (a foreign key as the key it refers to), and the record as its instance
            where there is one. Row by row, so slower; its `save()` sends signals. Its queries go where the project's
            database router sends them, so leave `using` as it is.
        using: the database alias; None for IMPORT_DATABASE, whose transaction the engine commits with the chunk.

    Raises:
        ImproperlyConfigured: the model cannot be written like this; the message says what to change.
    """
    return BulkUpsert(model, match=match, columns=columns, on_match=on_match, serializer=serializer, using=using)


def _with_options(
    plan: UpsertPlan, batch: polars.DataFrame, options: Mapping[str, Any]
) -> tuple[polars.DataFrame, list[str]]:
    """The batch with a column for each option that a field is filled from; names of options that the job has not."""
    mapped = {each.column: each.option for each in plan.mapped if each.option is not None}
    unsaid = [name for name in mapped.values() if options.get(name) is None]
    if not mapped or unsaid:
        return batch, unsaid
    import polars as pl

    columns = {column: pl.lit(str(options[name]), dtype=pl.String) for column, name in mapped.items()}
    return batch.with_columns(**columns), []


def _upsert(
    plan: UpsertPlan, batch: polars.DataFrame, using: str, serializer: type[BaseSerializer[Any]] | None
) -> dict[str, list[Any]]:
    if serializer is None and goes_by_frames(plan, using):
        outcome = Outcome(batch.height)
        frame = text_frame(plan, batch, outcome, using)
        if frame is not None:
            write_frame(plan, batch, frame, outcome, using, one_by_one=_cleaned_and_written)
            return outcome.as_answer()
    return _cleaned_and_written(plan, batch, using, serializer).as_answer()


def _cleaned_and_written(
    plan: UpsertPlan, batch: polars.DataFrame, using: str, serializer: type[BaseSerializer[Any]] | None = None
) -> Outcome:
    outcome = Outcome(batch.height)
    values: dict[AnyField, list[Any]] = {}
    cells: dict[AnyField, list[str]] = {}
    for mapped in plan.mapped:
        texts = batch.get_column(mapped.column).fill_null("").to_list()
        if mapped.field in plan.match:
            cells[mapped.field] = texts
        if mapped.lookup_to is None and serializer is not None and mapped.field not in plan.match:
            values[mapped.field] = parse_column(mapped, texts, outcome)
        elif mapped.lookup_to is None:
            values[mapped.field] = clean_column(mapped, texts, outcome)
        else:
            values[mapped.field] = look_up(mapped, texts, outcome, using)
    columns = {each.field: each.column for each in plan.mapped}
    for field in plan.match:
        for position, value in enumerate(values[field]):
            if value is None:
                outcome.refuse(
                    position, f"{columns[field]}: This field says which record is meant and cannot be empty."
                )
    records = Records(plan, values, cells)
    if serializer is None:
        write_rows(records, outcome, using)
    else:
        save_rows(serializer, records, values, outcome, using)
    return outcome

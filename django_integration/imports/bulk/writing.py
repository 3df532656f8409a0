"""Rows of a batch into the table, in bulk where that is sure to come out as row by row, and so also where it fails.

A bulk statement runs inside a savepoint. When the database refuses it, the rows are halved, in order, until the
guilty ones stand alone; a row alone is saved as a plain handler would, and its error is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, OperationalError, connections, models, transaction

from django_integration.imports.bulk import columnar, generic, postgres
from django_integration.imports.bulk.columns import UpsertPlan
from django_integration.imports.bulk.one_by_one import store_one
from django_integration.imports.bulk.outcome import Outcome, clipped
from django_integration.imports.bulk.records import Records, Stored, UncertainOutcomeError

if TYPE_CHECKING:
    import polars

StoreRows = Callable[[Records, Sequence[int], str], list[Stored]]

#: Rows of a refused statement that are saved one by one rather than halved again.
_FEW_ROWS = 4
#: The same for a statement over a frame: so few rows are cleaned anew, and halved as values.
_FEW_FRAME_ROWS = 200

#: Class 54 of SQLSTATE: a value is too large, for an index for instance. Django counts it to the faults of the server.
_PROGRAM_LIMIT_EXCEEDED = "54"


def write_rows(records: Records, outcome: Outcome, using: str) -> None:
    """Write every row that `outcome` does not refuse yet, as if one after the other.

    Raises:
        django.db.OperationalError, django.db.InterfaceError: the database is away, or gave the transaction up.
    """
    positions = outcome.open_positions()
    store = _bulk_way(records.plan, using)
    writer = _Writer(records, outcome, using, store)
    if store is None:
        for position in positions:
            writer.write_one(position)
    elif records.plan.on_match != "update" or _may_leave_out_overwritten(records.plan):
        writer.write_many(positions)
    else:
        for run in _runs_of_different_keys(records, positions):
            writer.write_many(run)


def goes_by_frames(plan: UpsertPlan, using: str) -> bool:
    """Whether `write_frame` can be used."""
    return _bulk_way(plan, using) is postgres.store_rows and columnar.takes(plan)


def write_frame(
    plan: UpsertPlan,
    batch: polars.DataFrame,
    frame: polars.DataFrame,
    outcome: Outcome,
    using: str,
    *,
    one_by_one: Callable[[UpsertPlan, polars.DataFrame, str], Outcome],
) -> None:
    """Write rows of different keys by one statement, and where it is refused by smaller ones.

    Args:
        batch: the rows as they came.
        frame: those of them that are to be written, as `columnar.text_frame` gives them.
        one_by_one: writes a few rows of the batch in whatever way finds the guilty ones.

    Raises:
        As `write_rows`.
    """
    if frame.is_empty():
        return
    positions = frame["position"].to_list()
    try:
        with transaction.atomic(using=using):
            stored = postgres.store_frame(plan, frame, using)
    except (DatabaseError, UncertainOutcomeError, ValueError, OverflowError) as error:
        raise_if_not_of_a_row(error)
        if frame.height <= _FEW_FRAME_ROWS:
            outcome.take(positions, one_by_one(plan, batch[positions], using))
            return
        middle = frame.height // 2
        for half in (frame[:middle], frame[middle:]):
            write_frame(plan, batch, half, outcome, using, one_by_one=one_by_one)
        return
    if plan.on_match != "error":
        outcome.accept_many(positions, stored)
        return
    names = {field: batch.get_column(each.column) for each in plan.mapped if (field := each.field) in plan.match}
    records = Records(plan, {}, {field: cells.to_list() for field, cells in names.items()})
    for position, (pk, created) in zip(positions, stored, strict=True):
        if created:
            outcome.accept(position, pk, created=True)
        else:
            outcome.refuse(position, records.already_there(position))


class _Writer:
    def __init__(self, records: Records, outcome: Outcome, using: str, store: StoreRows | None) -> None:
        self._records = records
        self._outcome = outcome
        self._using = using
        self._store = store

    def write_many(self, positions: Sequence[int]) -> None:
        """Write rows by one statement, and where it is refused by smaller ones."""
        if not positions:
            return
        assert self._store is not None
        groups: dict[object, list[int]] = {}
        for key, position in zip(self._records.keys(positions), positions, strict=True):
            groups.setdefault(key, []).append(position)
        # The last of several rows of one key wins where matches are written, and else the first.
        which = -1 if self._records.plan.on_match == "update" else 0
        written = sorted(group[which] for group in groups.values())
        try:
            with transaction.atomic(using=self._using):
                stored = self._store(self._records, written, self._using)
        except (DatabaseError, UncertainOutcomeError, ValueError, OverflowError) as error:
            raise_if_not_of_a_row(error)
            if len(positions) <= _FEW_ROWS:
                for position in positions:
                    self.write_one(position)
                return
            middle = len(positions) // 2
            self.write_many(positions[:middle])
            self.write_many(positions[middle:])
            return
        by_position = dict(zip(written, stored, strict=True))
        for group in groups.values():
            pk, created = by_position[group[which]]
            for position in group:
                self._note(position, pk, created=created)
                created = False

    def write_one(self, position: int) -> None:
        """Write one row as a plain handler would."""
        try:
            with transaction.atomic(using=self._using):
                pk, created = store_one(self._records, position, self._using)
        except (DatabaseError, ValueError, OverflowError) as error:
            raise_if_not_of_a_row(error)
            self._outcome.refuse(position, f"The database refused the row: {clipped(str(error))}")
        else:
            self._note(position, pk, created=created)

    def _note(self, position: int, pk: object, *, created: bool) -> None:
        plan = self._records.plan
        if created or plan.on_match != "error":
            self._outcome.accept(position, pk, created=created)
            return
        self._outcome.refuse(position, self._records.already_there(position))


def _bulk_way(plan: UpsertPlan, using: str) -> StoreRows | None:
    """How statements for many rows are made, or None where only row by row is exact."""
    if any(getattr(field, "db_collation", None) for field in plan.match):
        return None  # the database finds keys equal that Python does not
    if any(getattr(constraint, "deferrable", None) is not None for constraint in plan.model._meta.constraints):
        return None  # looked at after the statement: rows that fail alone could pass together
    if not all(_is_hashable(field) for field in plan.match):
        return None
    if postgres.can_copy(plan, using):
        return postgres.store_rows
    features = connections[using].features
    if features.supports_update_conflicts_with_target and features.can_return_rows_from_bulk_insert:
        return generic.store_rows
    return None


def _is_hashable(field: models.Field[object, object]) -> bool:
    return not isinstance(field, models.JSONField) and field.get_internal_type() != "ArrayField"


def _may_leave_out_overwritten(plan: UpsertPlan) -> bool:
    """Whether a row that a later row of the batch overwrites cannot be refused, nor make another be refused."""
    meta = plan.model._meta
    names = {field.name for field in plan.match}
    others = [constraint for constraint in meta.constraints if set(getattr(constraint, "fields", ())) != names]
    together = [each for each in meta.unique_together if set(each) != names]
    unique = [
        field for field in meta.concrete_fields if field.unique and not field.primary_key and {field.name} != names
    ]
    plain = all(type(each.field) in postgres.NATIVE or each.field.is_relation for each in plan.mapped)
    return meta.managed and plain and not (others or together or unique)


def _runs_of_different_keys(records: Records, positions: Sequence[int]) -> list[list[int]]:
    """The rows in order, cut before each row whose key the run has already."""
    runs: list[list[int]] = []
    seen: set[object] = set()
    for key, position in zip(records.keys(positions), positions, strict=True):
        if not runs or key in seen:
            runs.append([])
            seen = set()
        seen.add(key)
        runs[-1].append(position)
    return runs


def raise_if_not_of_a_row(error: Exception) -> None:
    """Raise again what is no row's fault: the database is away, or gave the transaction up."""
    if isinstance(error, InterfaceError):
        raise error
    if isinstance(error, OperationalError):
        state = getattr(error.__cause__, "sqlstate", None) or ""
        if not state.startswith(_PROGRAM_LIMIT_EXCEEDED):
            raise error

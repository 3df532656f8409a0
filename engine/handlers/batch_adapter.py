"""Calls a batch handler and turns whatever comes back into the outcomes of its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.handlers.contract import BatchHandler, RowFailure, is_atomic
from engine.handlers.row_adapter import MAX_ERROR_CHARACTERS, NO_RESULT, RowGuard, failure_of_crash, kind_of

if TYPE_CHECKING:
    import polars

_FORM = (
    'it must return one error per row (None for an accepted one) as a list, a Series or an array, or {"error": …, '
    '"result": …}.'
)


class _WrongFormError(Exception):
    """What came back is nothing that stands for outcomes; calling again with fewer rows would not help."""


class _WrongLengthError(Exception):
    """A column has another length than the batch; a handler that drops some rows drops them again."""


class BatchAdapter:
    """Runs one chunk's rows through a batch handler, as frames; nothing it raises ends more than the guilty rows.

    KeyboardInterrupt alone passes through, since it comes from outside.
    """

    def __init__(
        self,
        handler: BatchHandler,
        job_id: str,
        options: dict[str, Any],
        *,
        column_names: Sequence[str],
        guard: RowGuard | None = None,
    ) -> None:
        """
        Args:
            options: what the handler sees; it may change it, for this chunk only.
            column_names: those of the frame, unique (`frame_columns`).
            guard: a savepoint around each call, where the ledger has transactions. What a call wrote is
                rolled back when it crashes, not when it refuses rows.
        """
        # The workers are as many processes as there are processors: threads of polars would only be in the way.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        self._handler = handler
        self._job_id = job_id
        self._options = options
        self._names = list(column_names)
        self._guard = guard or nullcontext
        # A second call would repeat effects that cannot be rolled back.
        self._may_repeat = is_atomic(handler)

    def run(self, first_row_index: int, rows: Sequence[list[str]]) -> list[Any]:
        """Outcomes of the rows in order: the `result` of an accepted row, a RowFailure for a refused one.

        A row with too few or too many cells cannot stand in a frame: it fails, and the rows before
        and behind it are batches of their own, so that a batch has no gaps.

        Args:
            first_row_index: 1-based index of the first of the rows.
        """
        outcomes: list[Any] = []
        width = len(self._names)
        for fits, group in groupby(rows, lambda row: len(row) == width > 0):
            some = list(group)
            if fits:
                outcomes.extend(self._run_batch(first_row_index + len(outcomes), some))
            else:
                outcomes.extend(RowFailure(_ragged(len(row), width)) for row in some)
        return outcomes

    def _run_batch(self, first_row_index: int, rows: list[list[str]]) -> list[Any]:
        try:
            with self._guard():
                returned = self._handler(first_row_index, self._frame(rows), self._job_id, self._options)
                return _outcomes(returned, len(rows))
        except KeyboardInterrupt:
            raise
        except _WrongFormError as error:
            return [RowFailure(str(error))] * len(rows)
        except BaseException as error:  # noqa: BLE001 - SystemExit, a cancelled asyncio task: the team's code
            failure = RowFailure(str(error)) if isinstance(error, _WrongLengthError) else failure_of_crash(error)
            if len(rows) == 1:
                return [failure]
            if not self._may_repeat:
                last = first_row_index + len(rows) - 1
                text = f"The batch of rows {first_row_index:,} to {last:,} failed: {failure.message}"
                return [RowFailure(text[:MAX_ERROR_CHARACTERS])] * len(rows)
        # By halves, so that the rows that are not to blame are accepted.
        middle = len(rows) // 2
        return [
            *self._run_batch(first_row_index, rows[:middle]),
            *self._run_batch(first_row_index + middle, rows[middle:]),
        ]

    def _frame(self, rows: list[list[str]]) -> polars.DataFrame:
        import polars as pl

        columns = zip(*rows, strict=True)
        return pl.DataFrame([pl.Series(n, c, dtype=pl.String) for n, c in zip(self._names, columns, strict=True)])


def frame_columns(header: Sequence[str], column_count: int) -> list[str]:
    """The names of a frame's columns: the header's, made unique.

    A column without a name is called `col_0`, `col_1`, … by its position; of columns with the same
    name the second is `name_2`, the third `name_3`, and so on, past any name the header has itself.
    """
    given = [name if name.strip() else "" for name in header[:column_count]]
    given += [""] * (column_count - len(given))
    names: list[str] = []
    taken: set[str] = set()
    reserved = set(given)
    for index, name in enumerate(given):
        base = name or f"col_{index}"
        unique, count = base, 2
        while unique in taken or (unique != name and unique in reserved):
            unique, count = f"{base}_{count}", count + 1
        taken.add(unique)
        names.append(unique)
    return names


def _outcomes(returned: Any, height: int) -> list[Any]:
    results: list[Any] | None = None
    if isinstance(returned, Mapping):
        if "error" not in returned:
            raise _WrongFormError(f'The batch handler returned a mapping without "error": {_FORM}')
        if returned.get("result") is not None:
            results = _column(returned["result"], "result", height)
        returned = returned["error"]
    errors = _column(returned, "error", height)
    if results is None:
        results = [NO_RESULT] * height
    return [
        (NO_RESULT if result is None else result) if error is None else _refusal(error)
        for error, result in zip(errors, results, strict=True)
    ]


def _column(value: Any, name: str, height: int) -> list[Any]:
    """The values of a column in any of the forms that are taken."""
    column: Any = None
    if isinstance(value, list | tuple):
        column = list(value)
    else:
        # A frame of polars as dicts; Arrow, polars, numpy and pandas each under its own name for it.
        forms = ("to_pylist", "to_list", "tolist")
        for form in forms if name == "error" else ("to_dicts", *forms):
            if hasattr(value, form):
                column = getattr(value, form)()
                break
    if not isinstance(column, list):
        raise _WrongFormError(f"The batch handler returned {kind_of(value)} as {name}: {_FORM}")
    if len(column) != height:
        raise _WrongLengthError(
            f'The batch handler returned a column "{name}" of length {len(column):,} for a batch of {height:,} row(s).'
        )
    if name == "error" and any(item.__class__ is bool for item in column):
        raise _WrongFormError(f"The batch handler returned truth values as {name}: {_FORM}")
    return [None if item != item else item for item in column] if name == "error" else column  # NaN of pandas, numpy


def _refusal(error: Any) -> RowFailure:
    text = error if isinstance(error, str) else str(error)
    return RowFailure(text[:MAX_ERROR_CHARACTERS] or "The handler refused the row without saying why.")


def _ragged(cells: int, width: int) -> str:
    has = "1 cell" if cells == 1 else f"{cells:,} cells"
    return f"The row has {has}, the table has {width:,} column{'' if width == 1 else 's'}."

"""Calls a batch handler and turns whatever comes back into the outcomes of its rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.guard import RowGuard, TransactionLostError, one_savepoint
from engine.handlers.contract import BatchHandler, RowFailure, is_atomic
from engine.handlers.frame_outcome import FrameOutcome, WrongFormError, WrongLengthError, outcome_of, refused
from engine.handlers.row_adapter import MAX_ERROR_CHARACTERS, failure_of_crash

if TYPE_CHECKING:
    import polars


class BatchAdapter:
    """Runs one chunk's rows through a batch handler, as frames; nothing it raises ends more than the guilty rows.

    KeyboardInterrupt passes through, since it comes from outside, and TransactionLostError, which is of all rows.
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
        use_one_polars_thread()
        self._handler = handler
        self._job_id = job_id
        self._options = options
        self._names = list(column_names)
        self._guard = guard
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
                for piece in self.run_frame(first_row_index + len(outcomes), self._frame(some)):
                    outcomes.extend(piece.outcomes())
            else:
                outcomes.extend(RowFailure(_ragged(len(row), width)) for row in some)
        return outcomes

    def run_frame(self, first_row_index: int, frame: polars.DataFrame) -> list[FrameOutcome]:
        """Outcomes of the rows of a frame, in order: of all at once, or of as many pieces as it took.

        Args:
            first_row_index: 1-based index of the first of the rows.
        """
        try:
            with one_savepoint(self._guard):
                # A copy, which shares the columns: a handler may drop some, and the frame may be needed again.
                returned = self._handler(first_row_index, frame.clone(), self._job_id, self._options)
                outcome = outcome_of(returned, frame.height)
                if self._guard is not None and outcome.errors.null_count() < frame.height:
                    self._guard.check_refusal()
                return [outcome]
        except (KeyboardInterrupt, TransactionLostError):
            raise
        except WrongFormError as error:
            return [refused(str(error), frame.height)]
        except BaseException as error:  # noqa: BLE001 - SystemExit, a cancelled asyncio task: the team's code
            failure = RowFailure(str(error)) if isinstance(error, WrongLengthError) else failure_of_crash(error)
            if frame.height == 1:
                return [refused(failure.message, 1)]
            if not self._may_repeat:
                last = first_row_index + frame.height - 1
                text = f"The batch of rows {first_row_index:,} to {last:,} failed: {failure.message}"
                return [refused(text[:MAX_ERROR_CHARACTERS], frame.height)]
        # By halves, so that the rows that are not to blame are accepted.
        middle = frame.height // 2
        return [
            *self.run_frame(first_row_index, frame[:middle]),
            *self.run_frame(first_row_index + middle, frame[middle:]),
        ]

    def _frame(self, rows: list[list[str]]) -> polars.DataFrame:
        import polars as pl

        columns = zip(*rows, strict=True)
        return pl.DataFrame([pl.Series(n, c, dtype=pl.String) for n, c in zip(self._names, columns, strict=True)])


def use_one_polars_thread() -> None:
    """To be called before polars is loaded, unless the environment says how many threads it gets.

    The workers are as many processes as there are processors: more threads would only be in the way.
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")


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


def _ragged(cells: int, width: int) -> str:
    has = "1 cell" if cells == 1 else f"{cells:,} cells"
    return f"The row has {has}, the table has {width:,} column{'' if width == 1 else 's'}."

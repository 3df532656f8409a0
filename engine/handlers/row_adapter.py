"""Calls a row handler for row after row and turns whatever comes back into outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from engine.guard import RowGuard, TransactionLostError
from engine.handlers.contract import RowFailure, RowHandler
from engine.native import Lines, RowTexts, loops
from engine.returned_values import plain_text, type_name, without_addresses

#: Characters of an error message that are kept; a cell of a spreadsheet holds no more.
MAX_ERROR_CHARACTERS = 32_000


class RowAdapter:
    """Runs one chunk's rows through a row handler; nothing a handler raises ends more than its row.

    KeyboardInterrupt passes through, since it comes from outside, and TransactionLostError, which is of all rows.
    """

    def __init__(
        self,
        handler: RowHandler,
        job_id: str,
        options: dict[str, Any],
        *,
        guard: RowGuard | None = None,
        result_json: Callable[[Any], str] | None = None,
    ) -> None:
        """
        Args:
            options: what the handler sees; it may change it, for this chunk only.
            guard: savepoints around the rows, where the ledger has transactions.
            result_json: makes text of a result as soon as its row was run, before the savepoint of the row is gone: a
                handler may use one dict for all rows. None leaves results as they are. Never raises.
        """
        self._handler = handler
        self._job_id = job_id
        self._options = options
        self._guard = guard
        self._result_json = result_json
        self._rules = (NO_RESULT, _judge, failure_of_crash, _settled, RowFailure, result_json)

    def run(self, first_row_index: int, rows: Sequence[list[str]]) -> list[Any]:
        """Outcomes of the rows in order: the `result` of an accepted row, a RowFailure for a refused one.

        Args:
            first_row_index: 1-based index of the first of the rows.
        """
        with self._guard or nullcontext():
            if loops is None:
                return self._outcomes(first_row_index, rows)
            return loops.call_rows(list(rows), *self._call(first_row_index))

    def run_to_lines(
        self, first_row_index: int, rows: list[list[str]], texts: RowTexts, *, success: Lines, failed: Lines
    ) -> list[str]:
        """As `run`, by the compiled loop and with the JSON of results: to lines; returns the messages of refused rows.

        Args:
            texts: of the rows.
            success, failed: get the lines.
        """
        assert loops is not None
        with self._guard or nullcontext():
            return loops.run_rows(
                rows, texts.joined, texts.ends, texts.start, *self._call(first_row_index), success, failed
            )

    def run_text(
        self,
        first_row_index: int,
        text: bytes,
        start: int,
        *,
        limits: tuple[int, int],
        marks: tuple[int, int],
        success: Lines,
        failed: Lines,
    ) -> tuple[int, int, list[str]]:
        """As `run_to_lines`, of rows that are cut from a text as they are run.

        Args:
            limits: rows, and bytes, after which no further row is begun.
            marks: delimiter and quote.

        Returns:
            How many rows were run; where the next one starts; the messages of the refused ones.
        """
        assert loops is not None
        (max_rows, max_bytes), (delimiter, quote) = limits, marks
        with self._guard or nullcontext():
            return loops.run_text(
                text, start, max_rows, max_bytes, delimiter, quote, *self._call(first_row_index), success, failed
            )

    def _call(self, first_row_index: int) -> tuple[RowHandler, int, str, dict[str, Any], RowGuard | None, Any]:
        """What each of the compiled loops is told about the handler."""
        return (self._handler, first_row_index, self._job_id, self._options, self._guard, self._rules)

    def _outcomes(self, first_row_index: int, rows: Sequence[list[str]]) -> list[Any]:
        """What `loops.call_rows` does, in Python."""
        handler, job_id, options, guard = self._handler, self._job_id, self._options, self._guard
        result_json = self._result_json
        outcomes: list[Any] = []
        append = outcomes.append
        for row_index, row in enumerate(rows, first_row_index):
            try:
                returned = handler(row_index, row, job_id, options)
                if returned.__class__ is dict and returned.get("ok") is True:
                    outcome = returned.get("result", NO_RESULT)
                else:
                    outcome = _judge(returned)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - SystemExit, a cancelled asyncio task: the team's code
                outcome = failure_of_crash(error)
            if result_json is not None and outcome.__class__ is not RowFailure:
                outcome = result_json(outcome)
            append(_settled(guard, outcome) if guard is not None and guard.is_set else outcome)
        return outcomes


def _settled(guard: RowGuard, outcome: Any) -> Any:
    """The outcome of a row that has touched the database, when its savepoint is gone."""
    try:
        if outcome.__class__ is RowFailure:
            guard.undo()
        else:
            guard.keep()
    except (KeyboardInterrupt, TransactionLostError):
        raise
    except BaseException as error:  # noqa: BLE001 - the database has the last word on a row
        return failure_of_crash(error)
    return outcome


#: The result of a row whose handler named none.
NO_RESULT: Mapping[str, Any] = {}


def _judge(returned: Any) -> Any:
    """The outcome that a return value stands for; one that is not of the guide's form is a failure."""
    if returned.__class__ is not dict and not isinstance(returned, Mapping):
        return RowFailure(
            f'The handler returned {kind_of(returned)}, not a dict with "ok": it must return '
            '{"ok": True, "result": {...}} or {"ok": False, "error": "..."}.'
        )
    ok = returned.get("ok")
    if ok is True:
        return returned.get("result", NO_RESULT)
    if ok is False:
        error = returned.get("error")
        if error is None or error == "":
            return RowFailure("The handler refused the row without saying why.")
        return RowFailure(plain_text(error)[:MAX_ERROR_CHARACTERS])
    if "ok" not in returned:
        return RowFailure('The handler returned a dict without "ok": it must say True or False.')
    return RowFailure(f'The handler returned "ok" as {kind_of(ok)}: it must be True or False.')


def failure_of_crash(error: BaseException) -> RowFailure:
    """What stands in the failed file for a row whose handler raised."""
    # A handler may raise one and the same exception for all rows: it would keep the frames of each.
    BaseException.with_traceback(error, None)
    name = type_name(error)
    try:
        text = plain_text(error).strip()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - the exception's class is the team's code, too
        text = ""
    return RowFailure((f"{name}: {text}" if text else name)[:MAX_ERROR_CHARACTERS])


def kind_of(value: Any) -> str:
    """A value as a message names it."""
    return "None" if value is None else without_addresses(f"{type_name(value)} {value!r}")[:80]

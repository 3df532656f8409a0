"""What a batch handler returned, as columns: one error per row, and the results of those that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.handlers.contract import RowFailure
from engine.handlers.row_adapter import MAX_ERROR_CHARACTERS, NO_RESULT, kind_of
from engine.returned_values import column_values, frame_values, reason_text

if TYPE_CHECKING:
    import polars

_FORM = (
    'it must return one error per row (None for an accepted one) as a list, a Series or an array, or {"error": …, '
    '"result": …}.'
)
_NO_REASON = "The handler refused the row without saying why."


class WrongFormError(Exception):
    """What came back is nothing that stands for outcomes; calling again with fewer rows would not help."""


class WrongLengthError(Exception):
    """A column has another length than the batch; a handler that drops some rows drops them again."""


@dataclass(frozen=True, slots=True)
class FrameOutcome:
    """The outcomes of consecutive rows."""

    errors: polars.Series
    """Type String; null for an accepted row."""
    results: polars.DataFrame | polars.Series | list[Any] | None
    """As many; those of refused rows mean nothing. None: no row has one. In a list or Series null is no result."""

    def outcomes(self) -> list[Any]:
        """The `result` of an accepted row, a RowFailure for a refused one."""
        results = self.result_list()
        return [
            result if error is None else RowFailure(error)
            for error, result in zip(self.errors.to_list(), results, strict=True)
        ]

    def result_list(self) -> list[Any]:
        """One result per row."""
        import polars as pl

        if self.results is None:
            return [NO_RESULT] * len(self.errors)
        values: list[Any]
        if isinstance(self.results, list):
            values = self.results
        elif isinstance(self.results, pl.DataFrame):
            values = [*frame_values(self.results)]
        else:
            values = column_values(self.results)
        return [NO_RESULT if value is None else value for value in values]


def refused(message: str, height: int) -> FrameOutcome:
    """The same failure for every row."""
    import polars as pl

    return FrameOutcome(pl.Series([_storable(message)], dtype=pl.String).new_from_index(0, height), None)


def outcome_of(returned: Any, height: int) -> FrameOutcome:
    """The outcomes that a return value stands for.

    Raises:
        WrongFormError, WrongLengthError: it does not stand for any.
    """
    import polars as pl

    results: Any = None
    if isinstance(returned, Mapping):
        if "error" not in returned:
            raise WrongFormError(f'The batch handler returned a mapping without "error": {_FORM}')
        results = returned.get("result")
        if isinstance(results, pl.DataFrame | pl.Series):
            _check_length(len(results), "result", height)
        elif results is not None:
            results = _column(results, "result", height)
        returned = returned["error"]
    return FrameOutcome(_errors(returned, height), results)


def _errors(value: Any, height: int) -> polars.Series:
    import polars as pl

    if isinstance(value, pl.Series) and value.dtype in (pl.String, pl.Null):
        _check_length(len(value), "error", height)
        texts = value.cast(pl.String)
        if texts.null_count() == height:
            return texts
    else:
        texts = pl.Series(
            [None if item is None else _text(item) for item in _column(value, "error", height)], dtype=pl.String
        )
    if (texts == "").any():
        texts = texts.replace("", _NO_REASON)
    too_long = (texts.str.len_bytes() > MAX_ERROR_CHARACTERS).any()
    return texts.str.slice(0, MAX_ERROR_CHARACTERS) if too_long else texts


def _text(error: Any) -> str:
    return _storable(reason_text(error)[:MAX_ERROR_CHARACTERS])


def _storable(text: str) -> str:
    # Half of a surrogate pair cannot stand in a column; `encode_lines` writes it like this, too.
    return text.encode(errors="backslashreplace").decode()


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
        raise WrongFormError(f"The batch handler returned {kind_of(value)} as {name}: {_FORM}")
    _check_length(len(column), name, height)
    if name == "error" and any(item.__class__ is bool for item in column):
        raise WrongFormError(f"The batch handler returned truth values as {name}: {_FORM}")
    return [None if item != item else item for item in column] if name == "error" else column  # NaN of pandas, numpy


def _check_length(length: int, name: str, height: int) -> None:
    if length != height:
        raise WrongLengthError(
            f'The batch handler returned a column "{name}" of length {length:,} for a batch of {height:,} row(s).'
        )

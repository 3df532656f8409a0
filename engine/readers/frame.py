"""A chunk's rows as columns: what `frames` makes of text, and what a staged chunk is already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.native import RowTexts

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class TextFrame:
    """A chunk's rows, all of them with as many cells as the table has columns."""

    frame: polars.DataFrame
    """Columns of type String without nulls."""
    records: RowTexts | polars.Series | None
    """Each row's text as `csv.writer` would write it, without a line end; None where they are not known."""


class ArrowArray:
    """An array by Arrow's C interface alone, as polars takes one without pyarrow."""

    def __init__(self, capsules: tuple[object, object]) -> None:
        """
        Args:
            capsules: schema and array, to be used up by whoever takes it first.
        """
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules

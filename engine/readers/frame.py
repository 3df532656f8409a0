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

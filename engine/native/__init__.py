"""The loops over every byte of a table, compiled: cutting rows, writing lines, finding records.

An installation without a C compiler has none; `loops` is None then, and the rooms that would use
them do the same in Python, two to five times slower.
"""

from __future__ import annotations

from dataclasses import dataclass

try:
    from engine.native import _loops as loops
except ImportError:
    loops = None  # type: ignore[assignment]

__all__ = ["RowTexts", "loops"]


@dataclass(frozen=True, slots=True)
class RowTexts:
    """Texts of consecutive rows as `csv.writer` writes them by default, without line ends."""

    joined: bytes
    """One after the other, in UTF-8."""
    ends: bytes
    """Native `ssize_t`s: where each text ends; -1 for a row without cells."""

"""The loops over every byte of a table, compiled: cutting rows, writing lines, finding records, reading workbooks.

An installation without a C compiler has none; `loops` is None then, and the rooms that would use
them do the same in Python; a row then costs about twice the processor time, one of XLSX three times.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    from engine.native import _loops as loops
except ImportError:
    loops = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from engine.native import _loops

    Lines = _loops.Lines
else:
    Lines = object

__all__ = ["Lines", "RowTexts", "loops"]

_NUMBER_BYTES = struct.calcsize("n")


@dataclass(frozen=True, slots=True)
class RowTexts:
    """Texts of consecutive rows as `csv.writer` writes them by default, without line ends."""

    joined: bytes
    """One after the other, in UTF-8."""
    ends: bytes
    """Native `ssize_t`s: where each text ends; -1 for a row without cells."""
    start: int = 0
    """Where the first text starts."""

    def __len__(self) -> int:
        return len(self.ends) // _NUMBER_BYTES

    def between(self, begin: int, end: int) -> RowTexts:
        """Those of some of the rows, all of which have cells."""
        start = self.start
        if begin:
            (start,) = struct.unpack_from("n", self.ends, (begin - 1) * _NUMBER_BYTES)
        return RowTexts(self.joined, self.ends[begin * _NUMBER_BYTES : end * _NUMBER_BYTES], start)

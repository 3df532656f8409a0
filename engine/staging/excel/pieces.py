"""The XML of a part, cut into pieces of whole rows, or of whole shared strings, as it is inflated."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.staging.excel.marks import IrregularSheetError

#: Bytes of a piece: large enough that what each costs by itself does not count, small enough for processor caches.
PIECE_BYTES = 2 * 1024 * 1024
#: What stands before the first row, at most: widths of columns, and panes.
_MAX_HEAD_BYTES = 16 * 1024 * 1024
_FIRST_ROW = re.compile(rb'<row r="([1-9][0-9]{0,6})"')
#: Rows of a sheet.
MAX_ROWS = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPiece:
    """Some rows of a sheet."""

    xml: bytes
    first_row: int
    """1-based, of the first of them."""
    last_row: int


class _Cutter:
    """Gathers blocks until there is enough for a piece, from a start mark to an end mark."""

    def __init__(self, start: bytes, end: bytes) -> None:
        self._start, self._end = start, end
        self._blocks: list[bytes] = []
        self._size, self._wanted_size = 0, PIECE_BYTES
        self._has_begun = self.has_ended = False

    def feed(self, block: bytes) -> bytes:
        """All that is there, once it is enough for a piece; else nothing."""
        if self.has_ended:
            return b""
        self._blocks.append(block)
        self._size += len(block)
        return self.take() if self._size >= self._wanted_size else b""

    def take(self) -> bytes:
        """All that is there."""
        whole = b"".join(self._blocks)
        if not self._has_begun:
            place = whole.find(self._start)
            place = 0 if place < 0 else whole.find(b">", place) + 1
            if not place:
                if len(whole) > _MAX_HEAD_BYTES:
                    raise IrregularSheetError("there is no beginning")
                self.put_back(whole)
                return b""
            self._has_begun = True
            self.has_ended = whole[place - 2 : place] == b"/>"
            whole = whole[place:]
        if not self.has_ended:
            place = whole.find(self._end)
            self.has_ended = place >= 0
            whole = whole[:place] if place >= 0 else whole
        self.put_back(b"")
        return b"" if self.has_ended and not whole.lstrip().startswith(b"<") else whole

    def put_back(self, rest: bytes) -> None:
        """What belongs to the next piece; where that is much, more has to come before it is looked at again."""
        self._blocks, self._size = [rest] if rest else [], len(rest)
        self._wanted_size = max(PIECE_BYTES, 2 * len(rest))

    def split(self, xml: bytes, mark: bytes) -> bytes:
        """Up to the last start of an element, which may go on; all of it at the end."""
        if self.has_ended:
            return xml
        place = max(0, xml.rfind(mark))
        self.put_back(xml[place:])
        return xml[:place]


class RowCutter:
    """Pieces of a worksheet's part."""

    def __init__(self) -> None:
        self._cutter = _Cutter(b"<sheetData", b"</sheetData>")
        self._last_row = 0

    def feed(self, block: bytes) -> RowPiece | None:
        """The piece that a block completes.

        Raises:
            IrregularSheetError: rows have no numbers, or are not in order.
        """
        return self._piece(self._cutter.feed(block))

    def finish(self) -> RowPiece | None:
        """The last piece.

        Raises:
            IrregularSheetError: the part has not ended as it should.
        """
        piece = None if self._cutter.has_ended else self._piece(self._cutter.take())
        if not self._cutter.has_ended:
            raise IrregularSheetError("the sheet has no end")
        return piece

    def _piece(self, xml: bytes) -> RowPiece | None:
        xml = self._cutter.split(xml, b"<row ").strip() if xml else b""
        if not xml:
            return None
        first, last = _FIRST_ROW.match(xml), _FIRST_ROW.match(xml, max(0, xml.rfind(b"<row ")))
        if first is None or last is None:
            raise IrregularSheetError("rows have no numbers")
        piece = RowPiece(xml=xml, first_row=int(first[1]), last_row=int(last[1]))
        if not self._last_row < piece.first_row <= piece.last_row <= MAX_ROWS:
            raise IrregularSheetError("rows are not in order")
        self._last_row = piece.last_row
        return piece


class StringCutter:
    """Pieces of the part of shared strings, each of some `si` elements."""

    def __init__(self) -> None:
        self._cutter = _Cutter(b"<sst", b"</sst>")

    def feed(self, block: bytes) -> bytes:
        """The piece that a block completes, or nothing."""
        xml = self._cutter.feed(block)
        return self._cutter.split(xml, b"<si>") if xml else b""

    def finish(self) -> bytes:
        """The last piece, or nothing.

        Raises:
            IrregularSheetError: the part has not ended as it should.
        """
        xml = b"" if self._cutter.has_ended else self._cutter.take()
        if not self._cutter.has_ended:
            raise IrregularSheetError("the strings have no end")
        return xml

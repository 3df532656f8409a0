"""The exact rule by which a CSV falls into records, one record at a time.

The rule is that of Python's `csv.reader` (a quote opens a quoted cell only at the start of a cell,
text after a closing quote belongs to the cell), with one addition: a quote that never closes, or
that closes on a later line in the middle of text, is a stray one. Its record is *broken* and ends
with the physical line on which the quote stands, so that the following lines are rows again. A
record longer than the limit is broken too, and ends with the line on which its last cell within
the limit begins.

What a record is depends on its own bytes only, and at most on the limit's worth of bytes behind
its start: neither on where the bytes were cut nor on what else stands in the source. The fast scan
(`scan`) needs this room only where quoting is unusual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.model import Dialect


class RecordSpan(NamedTuple):
    """One record, as a half-open range of the bytes it was found in."""

    start: int
    end: int
    """Behind the line end."""
    broken_cell: int | None = None
    """Offset of the cell that breaks it: with the stray quote, or the last one within the limit; None if good."""


def count_lines(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Physical line ends (LF, CRLF and lone CR) in `data[start:end]`."""
    returns = data.count(b"\r", start, end)
    return data.count(b"\n", start, end) + (returns and returns - data.count(b"\r\n", start, end))


class RecordSplitter:
    """Cuts bytes that start at a record's start into records.

    Works on bytes of any encoding in which the delimiter, the quote and the line ends are the
    bytes of ASCII: UTF-8, and the single-byte code pages.
    """

    def __init__(self, dialect: Dialect, *, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        delimiter = re.escape(dialect.delimiter.encode("ascii"))
        if dialect.quote_char is None:
            cell = b"[^%b\\r\\n]*+" % delimiter
            self._quoted: re.Pattern[bytes] | None = None
        else:
            quote = re.escape(dialect.quote_char.encode("ascii"))
            facts = {b"d": delimiter, b"q": quote}
            plain = b"(?!%(q)b)[^%(d)b\\r\\n]*+" % facts
            one_line = b"%(q)b(?:[^%(q)b\\r\\n]++|%(q)b%(q)b)*+%(q)b[^%(d)b\\r\\n]*+" % facts
            # A cell that spans lines must be followed by what follows a cell: anything else says
            # that its closing quote is in truth the opening one of a later cell.
            many_lines = b"%(q)b(?:[^%(q)b]++|%(q)b%(q)b)*+%(q)b(?=[%(d)b\\r\\n]|\\Z)" % facts
            cell = b"(?:%b|%b|%b)" % (plain, one_line, many_lines)
            self._quoted = re.compile(b"%(q)b(?:[^%(q)b]++|%(q)b%(q)b)*+%(q)b" % facts)
        self._cells = re.compile(b"(?:%b%b)*+" % (cell, delimiter))
        self._record = re.compile(b"%b(?:%b%b)*+(?:\\r\\n|\\n|\\r|\\Z)" % (cell, delimiter, cell))
        self._line = re.compile(b"[^\\r\\n]*+(?:\\r\\n|\\n|\\r|\\Z)")

    def split(self, data: bytes, *, is_last: bool) -> Iterator[RecordSpan]:
        """Yield the records of `data` in order.

        Args:
            data: bytes that begin at a record's start.
            is_last: whether the source (or the chunk) ends with `data`. If not, the record that
                reaches the end is left out, since the next bytes may belong to it.
        """
        position, size = 0, len(data)
        match, max_record_bytes = self._record.match, self._max_record_bytes
        # A record at the end is settled by a LF only: a lone CR may be half a CRLF, a closing quote half a doubled one.
        is_settled = is_last or data.endswith(b"\n")
        while position < size:
            # One byte more than a record may have, so that what is too long shows and costs no more than that.
            found = match(data, position, min(size, position + max_record_bytes + 1))
            end = found.end() if found is not None else size
            if found is not None and end - position <= max_record_bytes:
                span = RecordSpan(position, end)
            elif found is None and not is_last and self._may_close_later(data, position):
                return
            else:
                cell = self._last_cell(data, position)
                line = self._line.match(data, cell)
                end = line.end() if line is not None else size
                span = RecordSpan(position, end, cell)
            if end == size and not is_settled:
                return
            yield span
            position = end

    def _last_cell(self, data: bytes, position: int) -> int:
        """Where the first cell starts that is not whole within the limit, or whose quote is a stray one."""
        found = self._cells.match(data, position, min(len(data), position + self._max_record_bytes))
        return position if found is None else found.end()

    def _may_close_later(self, data: bytes, position: int) -> bool:
        """Whether more bytes could still make the record at `position` a good one."""
        if self._quoted is None or len(data) - position > self._max_record_bytes:
            return False
        return self._quoted.match(data, self._last_cell(data, position)) is None

"""The exact rule by which a CSV falls into records, one record at a time.

The rule is that of Python's `csv.reader` (a quote opens a quoted cell only at the start of a cell,
text after a closing quote belongs to the cell), with one addition: a quote that never closes, or
that closes on a later line in the middle of text, is a stray one. Its record is *broken* and ends
with the physical line on which the quote stands, so that the following lines are rows again. A
record longer than the limit is broken in the same way.

The fast scan (`scan`) needs this room only where quoting is unusual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.model import Dialect


@dataclass(frozen=True, slots=True)
class RecordSpan:
    """One record, as a half-open range of the bytes it was found in."""

    start: int
    end: int
    """Behind the line end."""
    broken_quote: int | None = None
    """Offset of the stray quote (or, in a record that is too long, of its last cell); None for a good record."""


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
            self._prefix: re.Pattern[bytes] | None = None
        else:
            quote = re.escape(dialect.quote_char.encode("ascii"))
            facts = {b"d": delimiter, b"q": quote}
            plain = b"(?!%(q)b)[^%(d)b\\r\\n]*+" % facts
            one_line = b"%(q)b(?:[^%(q)b\\r\\n]++|%(q)b%(q)b)*+%(q)b[^%(d)b\\r\\n]*+" % facts
            # A cell that spans lines must be followed by what follows a cell: anything else says
            # that its closing quote is in truth the opening one of a later cell.
            many_lines = b"%(q)b(?:[^%(q)b]++|%(q)b%(q)b)*+%(q)b(?=[%(d)b\\r\\n]|\\Z)" % facts
            cell = b"(?:%b|%b|%b)" % (plain, one_line, many_lines)
            self._prefix = re.compile(b"(?:%b%b)*+" % (cell, delimiter))
            self._quoted = re.compile(b"%(q)b(?:[^%(q)b]++|%(q)b%(q)b)*+%(q)b" % facts)
        body = b"%b(?:%b%b)*+" % (cell, delimiter, cell)
        self._record = re.compile(body + b"(?:\\r\\n|\\n|\\r|\\Z)")
        self._line = re.compile(b"[^\\r\\n]*+(?:\\r\\n|\\n|\\r|\\Z)")

    def split(self, data: bytes, *, is_last: bool) -> Iterator[RecordSpan]:
        """Yield the records of `data` in order.

        Args:
            data: bytes that begin at a record's start.
            is_last: whether the source (or the chunk) ends with `data`. If not, the record that
                reaches the end is left out, since the next bytes may belong to it.
        """
        position, size = 0, len(data)
        while position < size:
            found = self._record.match(data, position)
            if found is not None and found.end() - position <= self._max_record_bytes:
                end = found.end()
                if end == size and not is_last and not data.endswith(b"\n"):
                    return  # a lone CR may be half a CRLF, a closing quote half a doubled one
                yield RecordSpan(position, end)
                position = end
                continue
            if found is None and not is_last and self._may_close_later(data, position):
                return
            span = self.broken_at(data, position)
            if span.end == size and not is_last and not data.endswith(b"\n"):
                return  # its line goes on
            yield span
            position = span.end

    def broken_at(self, data: bytes, position: int) -> RecordSpan:
        """The broken record at `position`: up to the end of the line on which its stray quote stands."""
        quote = self._stray_quote(data, position)
        line = self._line.match(data, quote)
        return RecordSpan(position, line.end() if line else len(data), broken_quote=quote)

    def _stray_quote(self, data: bytes, position: int) -> int:
        if self._prefix is None:
            return position
        found = self._prefix.match(data, position, min(len(data), position + self._max_record_bytes))
        return found.end() if found else position

    def _may_close_later(self, data: bytes, position: int) -> bool:
        """Whether more bytes could still make the record at `position` a good one."""
        if len(data) - position > self._max_record_bytes:
            return False
        closed = self._quoted.match(data, self._stray_quote(data, position))
        return closed is None or closed.end() == len(data)

"""The exact rule by which a CSV falls into records, one record at a time.

The rule is that of Python's `csv.reader` (a quote opens a quoted cell only at the start of a cell),
with two additions. A quote that never closes, or that closes on a later line in the middle of text,
is a stray one: its record is *broken* and ends with the physical line on which the quote stands, so
that the following lines are rows again. And a record is broken in which text follows a closing quote
(`"5" pipe"`), where `csv.reader` would drop quotes that belong to the text; blanks may follow. A
record longer than the limit is broken too, and ends with the line on which its last cell within the
limit begins.

With an escape character, the character behind it never ends or quotes a cell. It makes a line end
part of a cell between quotes, and elsewhere only in a dialect without quotes: at the end of an
unquoted cell it is rather the end of a path.

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
    is_closed: bool = False
    """Whether what breaks it is text behind the closing quote of that cell."""


def count_lines(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Physical line ends (LF, CRLF and lone CR) in `data[start:end]`."""
    returns = data.count(b"\r", start, end)
    return data.count(b"\n", start, end) + (returns and returns - data.count(b"\r\n", start, end))


class RecordSplitter:
    """Cuts bytes that start at a record's start into records.

    Works on bytes of any encoding in which the delimiter, the quote, the escape and the line ends are
    the bytes of ASCII: UTF-8, and the single-byte code pages.
    """

    def __init__(self, dialect: Dialect, *, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        self._quote = (dialect.quote_char or "").encode("ascii")
        self._escape = (dialect.escape_char or "").encode("ascii")
        delimiter = re.escape(dialect.delimiter.encode("ascii"))
        quote, escape = re.escape(self._quote), re.escape(self._escape)
        facts = {b"d": delimiter, b"q": quote, b"e": escape}
        facts[b"blanks"] = b"" if dialect.skip_initial_space == "never" else b"\\x20*+"
        # What stands for itself outside quotes, in quotes, and in quotes on one line.
        facts[b"plain"] = b"[^%(d)b%(e)b\\r\\n]++" % facts
        facts[b"text"] = b"[^%(q)b%(e)b]++|%(q)b%(q)b" % facts
        facts[b"line"] = b"[^%(q)b%(e)b\\r\\n]++|%(q)b%(q)b" % facts
        if self._escape:
            behind = b"[^\\r\\n]?+" if self._quote else b"(?:[\\x00-\\xff]|\\Z)"
            facts[b"plain"] += b"|%(e)b" % facts + behind
            facts[b"text"] += b"|%(e)b[\\x00-\\xff]" % facts
            facts[b"line"] += b"|%(e)b[^\\r\\n]" % facts
        if not self._quote:
            cell = strict_cell = b"(?:%(plain)b)*+" % facts
            self._quoted: re.Pattern[bytes] | None = None
        else:
            plain = b"(?!%(blanks)b%(q)b)(?:%(plain)b)*+" % facts
            one_line = b"%(blanks)b%(q)b(?:%(line)b)*+%(q)b" % facts
            # A cell that spans lines must be followed by what follows a cell: anything else says
            # that its closing quote is in truth the opening one of a later cell.
            many_lines = b"%(blanks)b%(q)b(?:%(text)b)*+%(q)b(?=[%(d)b\\r\\n]|\\Z)" % facts
            cell = b"(?:%b|%b(?:%b)*+|%b)" % (plain, one_line, facts[b"plain"], many_lines)
            blanks_behind = b"" if dialect.delimiter == " " else b"\\x20*+"
            strict_cell = b"(?:%b|%b%b(?=[%b\\r\\n]|\\Z)|%b)" % (plain, one_line, blanks_behind, delimiter, many_lines)
            self._quoted = re.compile(b"%(blanks)b%(q)b(?:%(text)b)*+%(q)b" % facts)
        self._cells = re.compile(b"(?:%b%b)*+" % (cell, delimiter))
        self._record = re.compile(b"%b(?:%b%b)*+(?:(\\r\\n|\\n|\\r)|\\Z)" % (cell, delimiter, cell))
        self._strict_cells = re.compile(b"(?:%b%b)*+" % (strict_cell, delimiter))
        self._strict = re.compile(b"%b(?:%b%b)*+(?:\\r\\n|\\n|\\r|\\Z)" % (strict_cell, delimiter, strict_cell))
        self._line = re.compile(b"[^\\r\\n]*+(?:\\r\\n|\\n|\\r|\\Z)")

    def split(self, data: bytes, *, is_last: bool) -> Iterator[RecordSpan]:
        """Yield the records of `data` in order.

        Args:
            data: bytes that begin at a record's start.
            is_last: whether the source (or the chunk) ends with `data`. If not, the record that
                reaches the end is left out, since the next bytes may belong to it.
        """
        position, size = 0, len(data)
        match, max_record_bytes, quote = self._record.match, self._max_record_bytes, self._quote
        # A record at the end is settled by a LF only: a lone CR may be half a CRLF, a closing quote half a doubled one.
        may_be_settled = is_last or data.endswith(b"\n")
        while position < size:
            # One byte more than a record may have, so that what is too long shows and costs no more than that.
            found = match(data, position, min(size, position + max_record_bytes + 1))
            end = found.end() if found is not None else size
            is_settled = may_be_settled
            if found is not None and end - position <= max_record_bytes:
                span = RecordSpan(position, end)
                if quote and data.find(quote, position, end) >= 0:
                    span = self._judged(data, position, end)
                # An escaped LF ends nothing.
                is_settled = may_be_settled and (is_last or found.lastindex is not None)
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

    def _judged(self, data: bytes, position: int, end: int) -> RecordSpan:
        """A record whose quotes all close, with the first cell in which text follows the closing one."""
        if self._strict.match(data, position, end) is not None:
            return RecordSpan(position, end)
        cells = self._strict_cells.match(data, position, end)
        return RecordSpan(position, end, position if cells is None else cells.end(), is_closed=True)

    def _last_cell(self, data: bytes, position: int) -> int:
        """Where the first cell starts that is not whole within the limit, or whose quote is a stray one."""
        found = self._cells.match(data, position, min(len(data), position + self._max_record_bytes))
        return position if found is None else found.end()

    def _may_close_later(self, data: bytes, position: int) -> bool:
        """Whether more bytes could still make the record at `position` a good one."""
        if self._quoted is None or len(data) - position > self._max_record_bytes:
            return False
        return self._quoted.match(data, self._last_cell(data, position)) is None

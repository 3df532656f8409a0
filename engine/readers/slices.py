"""The rows of a chunk in slices, each row with its text, faster than `csv.reader` gives them and the very same.

The compiled loop cuts every chunk without broken records and lone CRs. Where there is none, the same
is done by `str.split` for lines without quotes and with one quoted cell, which most are; what is left
goes through `csv.reader` record by record, and a chunk of another kind as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from engine.model import Chunk, Dialect
from engine.native import RowTexts, loops
from engine.readers.rows import Row, allow_long_cells, can_be_read_plainly, read_rows, reader_options

#: Bytes cut in one go: their rows stay in the processor's cache.
PIECE_BYTES = 256 * 1024
#: Of a chunk's first piece, the share of lines with a quote above which `csv.reader` is faster.
_MANY_QUOTES = 0.4


@dataclass(frozen=True, slots=True)
class PlainText:
    """The rows of a chunk as text that the compiled loops cut: nothing of it is broken, and no CR stands alone."""

    data: bytes
    """UTF-8."""
    delimiter: int
    """An ASCII byte."""
    quote: int
    """An ASCII byte, or -1 for none."""

    def slices(self, max_rows: int) -> Iterator[RowSlice]:
        """The rows in slices of 1 to `max_rows`."""
        assert loops is not None
        position, how = 0, (PIECE_BYTES, self.delimiter, self.quote)
        while position < len(self.data):
            rows, joined, ends, position = loops.cut_rows(self.data, position, max_rows, *how)
            yield RowSlice(rows, RowTexts(joined, ends))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RowSlice:
    """Consecutive rows."""

    rows: list[Row]
    records: RowTexts | list[str] | None = None
    """Each row's text without its line end, as `csv.writer` would write the row with its defaults; None if unknown."""
    odd: list[int] = field(default_factory=list)
    """Of a list: ascending positions of rows whose text is not that; all rows without cells are among them."""


def read_slices(
    data: bytes, chunk: Chunk, dialect: Dialect, *, max_record_bytes: int, max_rows: int
) -> Iterator[RowSlice]:
    """Yield the chunk's rows in order, exactly those of `read_rows`, in slices of 1 to `max_rows` rows.

    Args:
        data: as for `read_rows`.
    """
    plain = plain_text(data, chunk, dialect)
    if plain is not None:
        return plain.slices(max_rows)
    allow_long_cells(max_record_bytes)
    if loops is None and _has_plain_lines(data, dialect) and can_be_read_plainly(data, chunk, dialect):
        cutter = _Cutter(data, dialect)
        if not cutter.has_many_quotes():
            return cutter.slices(max_rows)
    return sliced(read_rows(data, chunk, dialect, max_record_bytes=max_record_bytes), max_rows)


def plain_text(data: bytes, chunk: Chunk, dialect: Dialect) -> PlainText | None:
    """The chunk for the compiled loops; None where there are none, or it has to be looked at more closely.

    Args:
        data: as for `read_rows`.
    """
    if loops is None or not _has_plain_lines(data, dialect) or not is_whole(data, chunk):
        return None
    text = as_utf8(data, dialect.encoding)
    if text is None:
        return None
    return PlainText(text, ord(dialect.delimiter), ord(dialect.quote_char) if dialect.quote_char is not None else -1)


def _has_plain_lines(data: bytes, dialect: Dialect) -> bool:
    return is_basic(dialect) and (b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"))


def is_basic(dialect: Dialect) -> bool:
    """Whether it has nothing but a delimiter, a quote and an encoding, so that cells can be cut by looking at those."""
    basics = Dialect(delimiter=dialect.delimiter, quote_char=dialect.quote_char, encoding=dialect.encoding)
    return dialect == basics


def sliced(rows: Iterator[Row], max_rows: int) -> Iterator[RowSlice]:
    """Rows of any origin in slices."""
    while some := list(islice(rows, max_rows)):
        yield RowSlice(some)


def is_whole(data: bytes, chunk: Chunk) -> bool:
    """Whether these are all bytes of a chunk in which no record is broken."""
    return len(data) == chunk.byte_end - chunk.byte_start and not chunk.irregular


def as_utf8(data: bytes, encoding: str) -> bytes | None:
    """The text of a chunk in UTF-8; None where some bytes of it are not text in its encoding."""
    if encoding == "utf-8" and loops is not None:
        return data if loops.continuation_bytes(data, 0, len(data)) >= 0 else None
    try:
        if data.isascii():
            return data
        text = data.decode(encoding)
        return data if encoding == "utf-8" else text.encode()
    except UnicodeDecodeError:
        return None


class _Cutter:
    """Cuts the text of a chunk in which every record ends in LF or CRLF, the last one perhaps in nothing."""

    def __init__(self, data: bytes, dialect: Dialect) -> None:
        self._data = data
        self._dialect = dialect
        self._delimiter = dialect.delimiter
        self._quote = dialect.quote_char
        self._has_returns = b"\r" in data
        self._piece_bytes = PIECE_BYTES

    def has_many_quotes(self) -> bool:
        """Judged by the first piece."""
        if self._quote is None:
            return False
        lines = self._data[:PIECE_BYTES].split(b"\n")
        quote = self._quote.encode("ascii")
        return sum(quote in line for line in lines) > _MANY_QUOTES * len(lines)

    def slices(self, max_rows: int) -> Iterator[RowSlice]:
        """See `read_slices`."""
        is_csv = self._delimiter == "," and self._quote in ('"', None)
        carry: list[str] = []
        for text, is_last in self._pieces():
            lines = text.split("\n")
            if not lines[-1]:
                lines.pop()
            piece = _Piece(carry + lines, self._dialect, has_returns=self._has_returns, is_last=is_last)
            carry = piece.rest
            records, cut = piece.records, piece.cut
            # A record of many pieces is looked at each time it has doubled, not at each piece.
            self._piece_bytes = PIECE_BYTES if records else 2 * self._piece_bytes
            taken = 0
            for start in range(0, len(records), max_rows):
                some = records[start : start + max_rows]
                rows = [record.split(self._delimiter) for record in some]
                odd: list[int] = []
                while taken < len(cut) and cut[taken][0] < start + max_rows:
                    position, row, is_minimal = cut[taken]
                    rows[position - start] = row
                    if not is_minimal:
                        odd.append(position - start)
                    taken += 1
                if "" in some:
                    blank = [position for position, record in enumerate(some) if not record]
                    for position in blank:
                        rows[position] = []
                    odd = sorted({*odd, *blank})
                if is_csv and self._quote is None:
                    odd = sorted({*odd, *(position for position, record in enumerate(some) if '"' in record)})
                yield RowSlice(rows, some if is_csv else None, odd)  # type: ignore[arg-type]

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        """The text cut behind line ends, and whether it is the last piece."""
        data, encoding, start = self._data, self._dialect.encoding, 0
        while start < len(data):
            end = start + self._piece_bytes
            if end < len(data):
                end = data.rfind(b"\n", start, end) + 1 or data.find(b"\n", end) + 1
            if not 0 < end < len(data):
                end = len(data)
            yield data[start:end].decode(encoding), end == len(data)
            start = end


class _Piece:
    """Lines → records: those with quotes are cut into cells here, the others are left to a split."""

    def __init__(self, lines: list[str], dialect: Dialect, *, has_returns: bool, is_last: bool) -> None:
        """
        Args:
            lines: without LF, but with CR; they begin at a record's start.
            is_last: whether no lines follow that an open quote could reach.
        """
        self._lines = lines
        self._delimiter = dialect.delimiter
        self._quote: Any = dialect.quote_char
        self._is_last = is_last
        self.records: list[str] = [line.removesuffix("\r") for line in lines] if has_returns else lines
        """Each record's text without its line end."""
        self.cut: list[tuple[int, list[str], bool]] = []
        """Of each record with a quote: position, cells, whether its text is the minimal one."""
        self.rest: list[str] = []
        """Lines of a record that does not end here."""
        self._next_line = 0
        self._is_exhausted = False
        self._reader: Any = csv.reader(self._feed(), **reader_options(dialect))
        if self._quote is not None:
            self._cut_quoted()

    def _cut_quoted(self) -> None:
        lines, quote, delimiter, records = self._lines, self._quote, self._delimiter, self.records
        may_be_minimal = quote == '"'
        joined: list[int] = []  # lines that belong to the record before them
        end = 0
        for index in [index for index, line in enumerate(lines) if quote in line]:
            if index < end:
                continue
            # Outside quotes, inside, outside, and so on.
            record = records[index]
            pieces = record.split(quote)
            end = index + 1
            head = pieces[0]
            if len(pieces) % 2 == 0 and (not head or head[-1] == delimiter):
                end = self._end_of_record(end)
                record = "\n".join(lines[index:end]).removesuffix("\r")
                pieces = record.split(quote)
            tail = pieces[-1]
            if (
                len(pieces) % 2
                and (not head or head[-1] == delimiter)
                and (not tail or tail[0] == delimiter)
                # More than one quoted cell, or text behind one: only doubled quotes have nothing between them.
                and (len(pieces) == 3 or not any(pieces[2:-1:2]))
            ):
                cells = head.split(delimiter)
                cell = cells[-1] = pieces[1] if len(pieces) == 3 else quote.join(pieces[1:-1:2])
                if tail:
                    cells += tail[1:].split(delimiter)
                is_minimal = may_be_minimal and (len(pieces) > 3 or "," in cell or "\n" in cell)
            else:
                cells, end = self._by_reader(index)
                is_minimal = False
                record = "\n".join(lines[index:end]).removesuffix("\r")
                if not end:
                    self.rest = lines[index:]
                    del records[index:]
                    break
            self.cut.append((index - len(joined), cells, is_minimal))
            if end > index + 1:
                records[index] = record
                joined.extend(range(index + 1, end))
        for index in reversed(joined):
            del records[index]

    def _end_of_record(self, index: int) -> int:
        """The line behind the next one that closes what is open; the last line where none does."""
        lines, quote = self._lines, self._quote
        while index < len(lines) and not lines[index].count(quote) % 2:
            index += 1
        return min(index + 1, len(lines))

    def _by_reader(self, index: int) -> tuple[list[str], int]:
        """Cells of a record of any kind, and the line behind it; 0 where it goes on behind the last line."""
        self._next_line = index
        cells = next(self._reader)
        if self._is_exhausted and not self._is_last:
            return cells, 0
        return cells, self._next_line

    def _feed(self) -> Iterator[str]:
        while self._next_line < len(self._lines):
            line = self._lines[self._next_line]
            self._next_line += 1
            yield line + "\n"
        self._is_exhausted = True

"""What the reading tests compare with: Python's `csv`, and the rule of `engine.readers.records` written out plainly.

`reference_records` looks at one byte after the other and knows nothing of blocks, chunks, regular
expressions or arrays.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

CR, LF = 13, 10


def csv_rows(
    text: str, *, delimiter: str = ",", quote_char: str | None = '"', escape_char: str | None = None, skip: bool = False
) -> list[list[str]]:
    """The rows that `csv.reader` finds in the whole text, blank lines at its very end left out."""
    source = io.StringIO(text, newline="")
    rows = list(
        csv.reader(
            source,
            delimiter=delimiter,
            quoting=csv.QUOTE_NONE if quote_char is None else csv.QUOTE_MINIMAL,
            quotechar=quote_char,
            escapechar=escape_char,
            skipinitialspace=skip,
        )
    )
    while rows and not rows[-1]:
        rows.pop()
    return rows


def count_lines(data: bytes) -> int:
    """Physical line ends: LF, CRLF and lone CR."""
    return len(line_ends(data)) - (not data.endswith((b"\n", b"\r")) and data != b"")


def line_ends(data: bytes) -> list[int]:
    """Offsets behind each physical line, an unended last one included."""
    ends = []
    position = 0
    while position < len(data):
        position = _line_end(data, position)
        ends.append(position)
    return ends


def without_trailing_blank_lines(data: bytes) -> bytes:
    """The bytes up to the end of the last line that is not blank."""
    filled = data.rstrip(b"\r\n")
    rest = data[len(filled) :]
    return filled and filled + rest[: 2 if rest.startswith(b"\r\n") else 1]


@dataclass(frozen=True)
class ReferenceRecord:
    """A record as half-open byte range."""

    start: int
    end: int
    is_broken: bool


@dataclass(frozen=True)
class _Form:
    """The bytes of a dialect that matter; None where it has none of that kind."""

    delimiter: int
    quote: int | None
    escape: int | None
    skips_blanks: bool

    def is_border(self, data: bytes, position: int) -> bool:
        return position >= len(data) or data[position] in (self.delimiter, CR, LF)


def reference_records(
    data: bytes,
    *,
    delimiter: str = ",",
    quote_char: str | None = '"',
    escape_char: str | None = None,
    skips_blanks: bool = False,
    max_record_bytes: int = 1 << 30,
) -> list[ReferenceRecord]:
    """Every record of `data`."""
    quote, escape = quote_char and ord(quote_char), escape_char and ord(escape_char)
    form = _Form(ord(delimiter), quote or None, escape or None, skips_blanks)
    records, position = [], 0
    while position < len(data):
        limit = position + max_record_bytes
        end, last_cell, is_mixed = _record(data, position, form, limit)
        is_broken = end is None or end > limit
        if end is None or end > limit:
            end = _line_end(data, last_cell)
        records.append(ReferenceRecord(position, end, is_broken or is_mixed))
        position = end
    return records


def _record(data: bytes, position: int, form: _Form, limit: int) -> tuple[int | None, int, bool]:
    """Where the record ends (None: a quote in it never closes), where its last cell within the limit starts,
    and whether text follows a closing quote."""
    last_cell, is_mixed = position, False
    while True:
        opening = position
        while form.skips_blanks and data[opening : opening + 1] == b" ":
            opening += 1
        if opening < len(data) and data[opening] == form.quote:
            closed = _behind_closing_quote(data, opening, form)
            if closed is None:
                return None, last_cell, is_mixed
            position = behind = closed
            while data[behind : behind + 1] == b" " and form.delimiter != ord(" "):
                behind += 1
            is_mixed = is_mixed or not form.is_border(data, behind)
        while not form.is_border(data, position):
            if data[position] == form.escape and not (
                form.quote and data[position + 1 : position + 2] in (b"\r", b"\n")
            ):
                position = min(len(data), position + 2)
            else:
                position += 1
        if position >= len(data) or data[position] != form.delimiter:
            return _line_end(data, position), last_cell, is_mixed
        position += 1
        if position <= limit:
            last_cell = position


def _behind_closing_quote(data: bytes, position: int, form: _Form) -> int | None:
    """Offset behind the closing quote of the cell at `position`; None where the opening one is a stray."""
    spans_lines = False
    position += 1
    while position < len(data):
        byte = data[position]
        if byte == form.escape:
            spans_lines = spans_lines or data[position + 1 : position + 2] in (b"\r", b"\n")
            position = min(len(data), position + 2)
            continue
        spans_lines = spans_lines or byte in (CR, LF)
        if byte == form.quote:
            if position + 1 >= len(data) or data[position + 1] != form.quote:
                return position + 1 if form.is_border(data, position + 1) or not spans_lines else None
            position += 1
        position += 1
    return None


def _line_end(data: bytes, position: int) -> int:
    while position < len(data):
        byte = data[position]
        position += 1
        if byte == LF or (byte == CR and data[position : position + 1] != b"\n"):
            break
    return position

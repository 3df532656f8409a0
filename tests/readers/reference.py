"""What the reading tests compare with: Python's `csv`, and the rule of `engine.readers.records` written out plainly.

`reference_records` looks at one byte after the other and knows nothing of blocks, chunks, regular
expressions or arrays.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

CR, LF = 13, 10


def csv_rows(text: str, *, delimiter: str = ",", quote_char: str | None = '"') -> list[list[str]]:
    """The rows that `csv.reader` finds in the whole text, blank lines at its very end left out."""
    source = io.StringIO(text, newline="")
    if quote_char is None:
        rows = list(csv.reader(source, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None))
    else:
        rows = list(csv.reader(source, delimiter=delimiter, quotechar=quote_char))
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


def reference_records(
    data: bytes, *, delimiter: str = ",", quote_char: str | None = '"', max_record_bytes: int = 1 << 30
) -> list[ReferenceRecord]:
    """Every record of `data`."""
    delimiter_byte, quote = ord(delimiter), None if quote_char is None else ord(quote_char)
    records, position = [], 0
    while position < len(data):
        limit = position + max_record_bytes
        end, last_cell = _record(data, position, delimiter_byte, quote, limit)
        is_broken = end is None or end > limit
        if end is None or end > limit:
            end = _line_end(data, last_cell)
        records.append(ReferenceRecord(position, end, is_broken))
        position = end
    return records


def _record(data: bytes, position: int, delimiter: int, quote: int | None, limit: int) -> tuple[int | None, int]:
    """Where the record ends (None: a quote in it never closes), and where its last cell within the limit starts."""
    last_cell = position
    while True:
        if position < len(data) and data[position] == quote:
            closed = _behind_closing_quote(data, position, delimiter, quote)
            if closed is None:
                return None, last_cell
            position = closed
        while position < len(data) and data[position] not in (delimiter, CR, LF):
            position += 1
        if position == len(data) or data[position] != delimiter:
            return _line_end(data, position), last_cell
        position += 1
        if position <= limit:
            last_cell = position


def _behind_closing_quote(data: bytes, position: int, delimiter: int, quote: int) -> int | None:
    """Offset behind the closing quote of the cell at `position`; None where the opening one is a stray."""
    spans_lines = False
    position += 1
    while position < len(data):
        byte = data[position]
        spans_lines = spans_lines or byte in (CR, LF)
        if byte == quote:
            if data[position + 1 : position + 2] != bytes([quote]):
                is_border = position + 1 == len(data) or data[position + 1] in (delimiter, CR, LF)
                return position + 1 if is_border or not spans_lines else None
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

"""The bytes of one chunk → its rows, exactly those of `csv.reader`, and its broken records as themselves."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from engine.model import Chunk, Dialect
from engine.readers.cells import CellSplitter
from engine.readers.marked import marked_rows, reader_options
from engine.readers.records import RecordSpan, RecordSplitter, count_lines

#: Bytes of an overlong record that are kept for the failed file.
MAX_BROKEN_BYTES = 64 * 1024
#: Bytes decoded in one go.
_SLICE_BYTES = 256 * 1024
#: What `staging` puts for bytes that it cannot decode; never valid UTF-8.
_UNDECODABLE_MARK = b"\xff"


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A record that cannot be read as a row: it fails without reaching the handler."""

    cells: list[str]
    """The original text as far as it can be told apart; bytes that do not decode as \\xNN."""
    error: str


Row = list[str] | BrokenRow


#: What else reads by `csv.reader` takes its arguments from here.
__all__ = [
    "MAX_BROKEN_BYTES",
    "BrokenRow",
    "Row",
    "allow_long_cells",
    "bytes_to_read",
    "can_be_read_plainly",
    "read_record",
    "read_rows",
    "reader_options",
]


def allow_long_cells(max_record_bytes: int) -> None:
    """Raise `csv`'s process-wide limit of 131,072 characters a cell to the record limit; never lowers it."""
    if csv.field_size_limit() < max_record_bytes:
        csv.field_size_limit(max_record_bytes)


def bytes_to_read(chunk: Chunk, *, max_record_bytes: int) -> int:
    """How many bytes of the chunk its reader needs: all, but of a single overlong record only the start."""
    size = chunk.byte_end - chunk.byte_start
    if chunk.row_count == 1 and chunk.irregular and size > max_record_bytes:
        return min(size, MAX_BROKEN_BYTES)
    return size


def read_rows(data: bytes, chunk: Chunk, dialect: Dialect, *, max_record_bytes: int) -> Iterator[Row]:
    """Yield the chunk's rows in order.

    Args:
        data: the chunk's bytes, or of an overlong record the first `bytes_to_read` of them.
        chunk: says where the bytes stand in the source.
        dialect: as planned; its encoding is one that needs no transcoding (see `encoding`).
    """
    allow_long_cells(max_record_bytes)
    if len(data) < chunk.byte_end - chunk.byte_start:
        size = chunk.byte_end - chunk.byte_start
        return iter((_overlong_row(data, size, chunk.first_line_number, dialect),))
    if can_be_read_plainly(data, chunk, dialect):
        return _plain_rows(data, dialect)
    if not chunk.irregular and _decodes(data, dialect.encoding):
        rows = marked_rows(data, dialect)
        if rows is not None:
            return rows
    return _exact_rows(data, chunk, dialect, max_record_bytes)


def can_be_read_plainly(data: bytes, chunk: Chunk, dialect: Dialect) -> bool:
    """Whether the chunk is whole, and each of its records a row for `csv.reader`."""
    is_whole = len(data) == chunk.byte_end - chunk.byte_start
    return (
        is_whole and not chunk.irregular and not _needs_exact_rule(data, dialect) and _decodes(data, dialect.encoding)
    )


def read_record(
    data: bytes,
    span: RecordSpan,
    line_number: int,
    dialect: Dialect,
    *,
    max_record_bytes: int,
    splitter: CellSplitter | None = None,
) -> Row:
    """One record as a row, or as what is wrong with it.

    Args:
        data: bytes of the source.
        span: where in them the record stands.
        line_number: 1-based physical line on which it starts.
        splitter: one of the dialect, for those who read many records.
    """
    size = span.end - span.start
    if size > max_record_bytes:
        start = data[span.start : span.start + min(size, MAX_BROKEN_BYTES)]
        return _overlong_row(start, size, line_number, dialect)
    record = data[span.start : span.end]
    try:
        text, undecodable = record.decode(dialect.encoding), None
    except UnicodeDecodeError as error:
        text, undecodable = record.decode(dialect.encoding, "backslashreplace"), error
    if span.broken_cell is not None:
        line = line_number + count_lines(data, span.start, span.broken_cell)
        quote = dialect.quote_char
        what = f"the cell that begins with {quote} has no closing {quote}. Close the quote, or double it"
        if span.is_closed:
            what = f"text follows the closing {quote} of a cell. Double each {quote}"
        return BrokenRow(_lenient_cells(text, dialect), f"Line {line}: {what} if it belongs to the text.")
    row = (splitter or CellSplitter(dialect)).cells(_without_line_end(text, dialect))
    if undecodable is None:
        return row
    line = line_number + count_lines(record, 0, undecodable.start)
    bad = record[undecodable.start : undecodable.end][:4]
    what = f"the bytes {bad.hex(' ').upper()} are not {dialect.encoding} text"
    if bad == _UNDECODABLE_MARK:
        what = "some of its bytes are not text in the encoding of the source"
    return BrokenRow(
        row, f"Line {line}: {what}. Save the file as UTF-8, or name the encoding it has with the option encoding."
    )


def _plain_rows(data: bytes, dialect: Dialect) -> Iterator[Row]:
    # TextIOWrapper decodes piece by piece: a StringIO would hold the text at four bytes a character.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding=dialect.encoding, newline="")
    return csv.reader(lines, **reader_options(dialect))


def _exact_rows(data: bytes, chunk: Chunk, dialect: Dialect, max_record_bytes: int) -> Iterator[Row]:
    splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
    cells = CellSplitter(dialect)
    all_decode = _decodes(data, dialect.encoding)
    line_number = chunk.first_line_number
    good: list[RecordSpan] = []

    def good_rows() -> Iterator[Row]:
        if good:
            rows = marked_rows(data[good[0].start : good[-1].end], dialect)
            if rows is None:
                texts = (data[span.start : span.end].decode(dialect.encoding) for span in good)
                rows = (cells.cells(_without_line_end(text, dialect)) for text in texts)
            yield from rows

    for span in splitter.split(data, is_last=True):
        is_good = span.broken_cell is None and span.end - span.start <= max_record_bytes
        if is_good and (all_decode or _decodes(data[span.start : span.end], dialect.encoding)):
            good.append(span)
            if span.end - good[0].start < _SLICE_BYTES:
                continue
        yield from good_rows()
        if good:
            line_number += count_lines(data, good[0].start, good[-1].end)
        if not good or good[-1] is not span:
            yield read_record(data, span, line_number, dialect, max_record_bytes=max_record_bytes, splitter=cells)
            line_number += count_lines(data, span.start, span.end)
        good.clear()
    yield from good_rows()


def _overlong_row(data: bytes, size: int, line_number: int, dialect: Dialect) -> BrokenRow:
    # An incremental decoder leaves out the character that the cut went through.
    text = codecs.getincrementaldecoder(dialect.encoding)("backslashreplace").decode(data, len(data) == size)
    kept = "" if len(data) == size else f"; its first {len(data):,} bytes are kept here"
    return BrokenRow(
        _lenient_cells(text, dialect),
        f"Line {line_number}: the record is {size:,} bytes long, which is too long for a row{kept}.",
    )


def _lenient_cells(text: str, dialect: Dialect) -> list[str]:
    """A broken record cut at every delimiter, its quotes kept as text."""
    return text.rstrip("\r\n").split(dialect.delimiter)


def _without_line_end(text: str, dialect: Dialect) -> str:
    for end in ("\r\n", "\n", "\r"):
        if text.endswith(end):
            bare = text.removesuffix(end)
            escapes = 0
            if dialect.quote_char is None and dialect.escape_char is not None:
                escapes = len(bare) - len(bare.rstrip(dialect.escape_char))
            if escapes % 2 == 0:
                return bare  # else its first character belongs to the cell
    return text


def _needs_exact_rule(data: bytes, dialect: Dialect) -> bool:
    """Whether the data holds what `csv.reader` and plain splitting read otherwise than the exact rule."""
    if dialect.escape_char is not None and dialect.escape_char.encode("ascii") in data:
        return True
    if dialect.skip_initial_space == "quoted":
        return (dialect.quote_char or "").encode("ascii") in data
    return dialect.skip_initial_space == "always"


def _decodes(data: bytes, encoding: str) -> bool:
    if data.isascii():
        return True
    # In slices, since memory for one large text costs more than the decoding.
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(data), _SLICE_BYTES):
            decoder.decode(data[start : start + _SLICE_BYTES], start + _SLICE_BYTES >= len(data))
    except UnicodeDecodeError:
        return False
    return True

"""The bytes of one chunk → its rows, exactly those of `csv.reader`, and its broken records as themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.model import Chunk, Dialect
from engine.readers.records import RecordSplitter

#: Characters kept of a parser's message, since some parsers put the data into it.
MAX_MESSAGE_CHARACTERS = 500
#: Bytes of an overlong record that are kept for the failed file.
MAX_BROKEN_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A record that cannot be read as a row: it fails without reaching the handler."""

    cells: list[str]
    """The original text as far as it can be told apart; bytes that do not decode as \\xNN."""
    error: str


Row = list[str] | BrokenRow


def allow_long_cells(max_record_bytes: int) -> None:
    """Raise `csv`'s process-wide limit of 131,072 characters a cell to the record limit; never lowers it."""
    if csv.field_size_limit() < max_record_bytes:
        csv.field_size_limit(max_record_bytes)


def bytes_to_read(chunk: Chunk, *, max_record_bytes: int) -> int:
    """How many bytes of the chunk its reader needs: all, but of a single overlong record only the start."""
    size = chunk.byte_end - chunk.byte_start
    if chunk.row_count == 1 and chunk.irregular and size > max_record_bytes:
        return MAX_BROKEN_BYTES
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
        return iter((_overlong(data, chunk, dialect),))
    if chunk.irregular or not _decodes(data, dialect.encoding):
        return _exact_rows(data, chunk, dialect, max_record_bytes)
    return _plain_rows(data, dialect)


def reader_options(dialect: Dialect) -> dict[str, Any]:
    """Keyword arguments of `csv.reader` for a dialect."""
    if dialect.quote_char is None:
        return {"delimiter": dialect.delimiter, "quoting": csv.QUOTE_NONE, "quotechar": None}
    return {"delimiter": dialect.delimiter, "quotechar": dialect.quote_char}


def _plain_rows(data: bytes, dialect: Dialect) -> Iterator[Row]:
    # TextIOWrapper decodes piece by piece: a StringIO would hold the text at four bytes a character.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding=dialect.encoding, newline="")
    return csv.reader(lines, **reader_options(dialect))


def _exact_rows(data: bytes, chunk: Chunk, dialect: Dialect, max_record_bytes: int) -> Iterator[Row]:
    splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
    line_number = chunk.first_line_number
    for span in splitter.split(data, is_last=True):
        record = data[span.start : span.end]
        quote = None if span.broken_quote is None else span.broken_quote - span.start
        yield _exact_row(record, line_number, dialect, quote, max_record_bytes)
        line_number += _count_lines(record)


def _exact_row(
    record: bytes, line_number: int, dialect: Dialect, broken_quote: int | None, max_record_bytes: int
) -> Row:
    try:
        text, undecodable = record.decode(dialect.encoding), None
    except UnicodeDecodeError as error:
        text, undecodable = record.decode(dialect.encoding, "backslashreplace"), error
    if broken_quote is not None:
        line = line_number + _count_lines(record[:broken_quote])
        if record[broken_quote : broken_quote + 1] == (dialect.quote_char or "").encode():
            reason = (
                f"Line {line}: the cell that begins with {dialect.quote_char} has no closing {dialect.quote_char}. "
                "Close the quote, or double it if it belongs to the text."
            )
        else:
            reason = f"Line {line_number}: the record is longer than {max_record_bytes:,} bytes."
        return BrokenRow(_lenient_cells(text, dialect), reason)
    try:
        row = next(csv.reader(io.StringIO(text, newline=""), **reader_options(dialect)), [])
    except csv.Error as error:
        reason = f"Line {line_number}: {error}"[:MAX_MESSAGE_CHARACTERS]
        return BrokenRow(_lenient_cells(text, dialect), reason)
    if undecodable is not None:
        line = line_number + _count_lines(record[: undecodable.start])
        bad = " ".join(f"{byte:02X}" for byte in record[undecodable.start : undecodable.end][:4])
        return BrokenRow(
            row,
            f"Line {line}: the bytes {bad} are not {dialect.encoding} text. "
            "Save the file in that encoding, or name the one it has with the option encoding.",
        )
    return row


def _overlong(data: bytes, chunk: Chunk, dialect: Dialect) -> BrokenRow:
    size = chunk.byte_end - chunk.byte_start
    text = data.decode(dialect.encoding, "backslashreplace")
    return BrokenRow(
        _lenient_cells(text, dialect),
        f"Line {chunk.first_line_number}: the record is {size:,} bytes long, which is too long for a row; "
        f"its first {len(data):,} bytes are kept here.",
    )


def _lenient_cells(text: str, dialect: Dialect) -> list[str]:
    """A broken record cut at every delimiter, its quotes kept as text."""
    return text.rstrip("\r\n").split(dialect.delimiter)


def _count_lines(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _decodes(data: bytes, encoding: str) -> bool:
    if data.isascii():
        return True
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True

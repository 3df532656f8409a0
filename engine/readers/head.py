"""The first look at a source: is it a table, in which encoding and dialect, and where does its data begin?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import OptionError, SourceBinaryError, SourceEmptyError, SourceFormatError
from engine.model import Dialect
from engine.options import ImportOptions
from engine.readers.dialect import DELIMITERS, detect_dialect
from engine.readers.encoding import detect_encoding, is_for_files, normalise
from engine.readers.records import RecordSplitter
from engine.readers.rows import BrokenRow, allow_long_cells, read_record

#: Bytes looked at for kind, encoding and dialect.
HEAD_BYTES = 256 * 1024

#: Control characters that no text holds on purpose; NUL stands in padded exports and counts apart.
_CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x19\x1c-\x1f]")
#: So many zero bytes say nothing yet, however small the source is.
_FEW_ZEROS = 16
_WIDE = ("utf-16", "utf-32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the start of a source says."""

    dialect: Dialect
    confidence: float
    """Share of the sampled records that have the usual number of cells; 1.0 where the dialect was given."""
    mark_bytes: int
    """Length of the byte order mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStart:
    """Where the header ends."""

    header_records: tuple[tuple[str, ...], ...]
    data_start: int
    """Absolute offset of the first data record; the end of the source where there is none."""
    column_count: int


def look(head: bytes, options: ImportOptions, *, source: str, is_whole: bool, samples: tuple[bytes, ...] = ()) -> Head:
    """Judge a text by its first `HEAD_BYTES` bytes, and by samples from further on where there are some.

    Raises:
        SourceEmptyError: there is nothing in it, or nothing but a byte order mark and line ends.
        SourceBinaryError: it is not text.
        SourceFormatError: the encoding that the options name cannot be the right one.
    """
    if not head:
        raise SourceEmptyError(f"{source} is empty: it has no bytes.", source=source)
    encoding, mark_bytes = detect_encoding(head, samples)
    if options.encoding is not None:
        encoding, mark_bytes = _given_encoding(options.encoding, encoding, mark_bytes, head, source)
    text = head[mark_bytes:].decode(encoding, "replace")
    if options.encoding is not None and text.count("\ufffd") > 0.3 * len(text) + 1:
        raise _wrong_encoding(options.encoding, source)
    if is_whole and not text.strip("\r\n\ufeff"):
        raise SourceEmptyError(f"{source} is empty: it holds nothing but line ends.", source=source)
    if _is_binary(text, options.delimiter):
        raise SourceBinaryError(f"{source} is not text. Import a CSV file.", source=source)
    if not is_whole:
        text = text[:-2]  # the sample may end inside a character
    candidates = (options.delimiter,) if options.delimiter else DELIMITERS
    found = detect_dialect(text, is_whole=is_whole, delimiters=candidates, quote_char=options.quote_char)
    return Head(
        dialect=Dialect(
            delimiter=options.delimiter or found.delimiter, quote_char=found.quote_char or None, encoding=encoding
        ),
        confidence=1.0 if options.delimiter else found.confidence,
        mark_bytes=mark_bytes,
    )


def find_data_start(
    read: Callable[[int, int], bytes],
    size_bytes: int,
    dialect: Dialect,
    header_rows: int,
    *,
    mark_bytes: int,
    max_record_bytes: int,
) -> DataStart:
    """Read the header records, and where there are none the first data record, to know the columns.

    Args:
        read: gives the bytes [start, end) of the source.
        size_bytes: of the source.
        header_rows: how many records the header has; blank lines above it do not count.

    Returns:
        With no header the columns are those of the first record that is not blank, 0 where that is too long.

    Raises:
        SourceFormatError: the header is longer than two records may be.
    """
    allow_long_cells(max_record_bytes)
    splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
    wanted = max(header_rows, 1)
    span, longest_span = HEAD_BYTES, max(HEAD_BYTES, 2 * max_record_bytes)
    while True:
        end = min(size_bytes, mark_bytes + span)
        data = read(mark_bytes, end)
        records: list[tuple[tuple[str, ...], int]] = []
        for record in splitter.split(data, is_last=end == size_bytes):
            row = read_record(data, record, 1, dialect, max_record_bytes=max_record_bytes)
            cells = tuple(row.cells if isinstance(row, BrokenRow) else row)
            if cells or records:
                records.append((cells, record.end))
            if len(records) == wanted:
                break
        if len(records) == wanted or end == size_bytes or (span == longest_span and header_rows == 0):
            break
        if span == longest_span:
            raise SourceFormatError(
                f"The first {wanted:,} record(s) take more than {span:,} bytes. Is the delimiter or the quote wrong?"
            )
        span = min(4 * span, longest_span)
    columns = records[-1][0] if records else ()
    if header_rows == 0:
        return DataStart(header_records=(), data_start=mark_bytes, column_count=len(columns))
    data_start = mark_bytes + records[-1][1] if len(records) == wanted else size_bytes
    return DataStart(
        header_records=tuple(cells for cells, _ in records), data_start=data_start, column_count=len(columns)
    )


def _given_encoding(given: str, found: str, mark_bytes: int, head: bytes, source: str) -> tuple[str, int]:
    """The encoding that the user names, with its byte order where the name leaves it open, and the mark's length."""
    encoding = normalise(given)
    if not is_for_files(encoding):
        raise OptionError(f"encoding must be one of files, such as utf-8 or cp1252, not {given}.", option="encoding")
    zeros = head.count(0)
    if encoding in ("utf-16", "utf-32"):
        encoding = found if found.startswith(encoding) else f"{encoding}-le"
    if encoding.startswith(_WIDE):
        is_wrong = encoding != found and not zeros  # not one delimiter or line end
    else:
        is_wrong = found.startswith(_WIDE) and (mark_bytes > 0 or zeros > _FEW_ZEROS)
    if is_wrong:
        raise _wrong_encoding(given, source, found)
    return encoding, mark_bytes if encoding == found else 0


def _wrong_encoding(given: str, source: str, found: str | None = None) -> SourceFormatError:
    guess = f"; it looks like {found}" if found else ""
    return SourceFormatError(
        f"{source} is not {given} text{guess}. Leave the option encoding out to have it found.", source=source
    )


def _is_binary(text: str, delimiter: str | None) -> bool:
    """Whether a sample holds more control characters than a text with a few broken cells does."""
    controls = len(_CONTROLS.findall(text)) - (text.count(delimiter) if delimiter and delimiter < " " else 0)
    zeros = text.count("\0")
    return (zeros > _FEW_ZEROS and zeros > 0.5 * len(text)) or (controls >= 8 and controls > 0.05 * len(text))

"""The first look at a source: is it a table, in which encoding and dialect, and where does its data begin?"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.errors import SourceBinaryError, SourceEmptyError, SourceFormatError
from engine.model import Dialect
from engine.options import ImportOptions
from engine.readers.dialect import detect_dialect
from engine.readers.encoding import detect_encoding, mark_length, needs_transcoding, normalise
from engine.readers.records import RecordSplitter
from engine.readers.rows import allow_long_cells, reader_options

#: Bytes looked at for encoding and dialect.
HEAD_BYTES = 256 * 1024

#: First bytes of common files that are not text → what to call them.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "a SQLite database"),
)


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
    """Judge a source by its first `HEAD_BYTES` bytes, and by samples from further on where there are some.

    Raises:
        SourceEmptyError: there is nothing in it, or nothing but a byte order mark and line ends.
        SourceBinaryError: it is not text.
        SourceFormatError: the encoding that the options name cannot be the right one.
    """
    if not head:
        raise SourceEmptyError(f"{source} is empty: it has no bytes.", source=source)
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            raise SourceBinaryError(
                f"{source} is {name}, not a CSV. Save or unpack it as CSV and import that.", source=source
            )
    if options.encoding is not None:
        encoding = normalise(options.encoding)
        mark_bytes = mark_length(head, encoding)
    else:
        encoding, mark_bytes = detect_encoding(head, samples)
    if 0 in head and not needs_transcoding(encoding):
        share = head.count(0) / len(head)
        control = sum(head.count(byte) for byte in range(32) if byte not in (0, 9, 10, 12, 13, 26, 27)) / len(head)
        if share > 0.01 or control > 0.01:
            raise SourceBinaryError(
                f"{source} is not text: {share:.0%} of its first bytes are zero bytes. Import a CSV file.",
                source=source,
            )
    text = _decode_sample(head[mark_bytes:], encoding, is_whole=is_whole, source=source, given=options.encoding)
    if is_whole and not text.strip("\r\n\ufeff"):
        raise SourceEmptyError(f"{source} is empty: it holds nothing but line ends.", source=source)
    if needs_transcoding(encoding) and sum(c < " " and c not in "\t\r\n\f\0" for c in text) > 0.05 * len(text):
        raise SourceBinaryError(f"{source} is not text. Import a CSV file.", source=source)
    candidates = (options.delimiter,) if options.delimiter else None
    found = detect_dialect(text, is_whole=is_whole, **({"delimiters": candidates} if candidates else {}))
    quote = found.quote_char if options.quote_char is None else options.quote_char or None
    return Head(
        dialect=Dialect(delimiter=options.delimiter or found.delimiter, quote_char=quote, encoding=encoding),
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

    Raises:
        SourceFormatError: the header is longer than two records may be.
    """
    allow_long_cells(max_record_bytes)
    splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
    wanted = max(header_rows, 1)
    span = HEAD_BYTES
    while True:
        end = min(size_bytes, mark_bytes + span)
        data = read(mark_bytes, end)
        records: list[tuple[tuple[str, ...], int]] = []
        for record in splitter.split(data, is_last=end == size_bytes):
            cells = _cells(data[record.start : record.end], dialect)
            if cells or records or header_rows == 0:
                records.append((cells, record.end))
            if len(records) == wanted:
                break
        if len(records) == wanted or end == size_bytes:
            break
        if span > 2 * max_record_bytes:
            raise SourceFormatError(
                f"The first {wanted:,} record(s) take more than {span:,} bytes. Is the delimiter or the quote wrong?"
            )
        span *= 4
    if header_rows == 0:
        return DataStart(header_records=(), data_start=mark_bytes, column_count=len(records[0][0]) if records else 0)
    header = tuple(cells for cells, _ in records)
    data_start = mark_bytes + records[-1][1] if len(records) == wanted else size_bytes
    return DataStart(header_records=header, data_start=data_start, column_count=len(header[-1]) if header else 0)


def with_encoding(dialect: Dialect, encoding: str) -> Dialect:
    """The same dialect in another encoding."""
    return replace(dialect, encoding=encoding)


def _cells(record: bytes, dialect: Dialect) -> tuple[str, ...]:
    text = record.decode(dialect.encoding, "backslashreplace")
    rows = csv.reader(io.StringIO(text, newline=""), **reader_options(dialect))
    return tuple(next(rows, []))


def _decode_sample(data: bytes, encoding: str, *, is_whole: bool, source: str, given: str | None) -> str:
    """The sample as text; what cannot be decoded may be a single broken row, so it is only marked here."""
    text = data.decode(encoding, "replace")
    if given is not None and text.count("\ufffd") > 0.3 * len(text) + 1:
        raise SourceFormatError(
            f"{source} is not {encoding} text. Leave the option encoding out to have it found.", source=source
        )
    return text if is_whole else text[: max(0, len(text) - 2)]

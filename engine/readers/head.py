"""The first look at a source: is it a table, in which encoding and dialect, and where does its data begin?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.errors import OptionError, SourceBinaryError, SourceEmptyError, SourceFormatError
from engine.model import Detection, Dialect
from engine.options import ImportOptions
from engine.readers.dialect import ESCAPE, UNTESTED, Verdict, detect_dialect
from engine.readers.encoding import detect_encoding, encoding_advice, is_for_files, normalise
from engine.readers.layout import Layout, describe, line_end
from engine.readers.records import RecordSplitter
from engine.readers.rows import BrokenRow, allow_long_cells, read_record

#: Bytes looked at for kind, encoding and dialect.
HEAD_BYTES = 256 * 1024

#: Control characters that no text holds on purpose; NUL stands in padded exports and counts apart.
_CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x19\x1c-\x1f]")
#: So many zero bytes say nothing yet, however small the source is.
_FEW_ZEROS = 16
_WIDE = ("utf-16", "utf-32")
_LINE_END = re.compile(rb"\r\n|\n|\r")
#: Characters of the start in which the lines above the header are looked for.
_LAYOUT_CHARACTERS = 64 * 1024
#: Of those lines, what is kept to be shown.
_SHOWN_LINES = 60
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the start of a source says."""

    dialect: Dialect
    confidence: float
    """Share of the sampled records that have the usual number of cells; 1.0 where the dialect was given."""
    mark_bytes: int
    """Length of the byte order mark."""
    skip_lines: int = 0
    """Lines above the header that are no part of the table."""
    detection: Detection = field(default_factory=Detection)


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
    encoding, mark_bytes, certainty = detect_encoding(head, samples)
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
    found = detect_dialect(
        text,
        is_whole=is_whole,
        delimiter=options.delimiter,
        quote_char=options.quote_char,
        escape_char=options.escape_char,
        decimal=options.decimal,
        later=[sample.decode(encoding, "replace") for sample in samples],
    )
    dialect = _dialect(found, options, encoding)
    layout = describe(
        text[:_LAYOUT_CHARACTERS],
        dialect,
        is_whole=is_whole and len(text) <= _LAYOUT_CHARACTERS,
        header_rows=options.header_rows,
        skip_rows=options.skip_rows,
    )
    confidence = {
        "encoding": certainty if options.encoding is None else 1.0,
        "delimiter": layout.agreement if options.delimiter is None else 1.0,
        "quote_char": found.quote_confidence if options.quote_char is None else 1.0,
        "escape_char": _escape_confidence(text, found, layout) if options.escape_char is None else 1.0,
        "skip_rows": layout.preamble_confidence if options.skip_rows is None else 1.0,
        "decimal": layout.decimal_confidence if options.decimal is None else 1.0,
    }
    return Head(
        dialect=dialect,
        confidence=confidence["delimiter"],
        mark_bytes=mark_bytes,
        skip_lines=len(layout.preamble) if options.skip_rows is None else options.skip_rows,
        detection=Detection(
            confidence=confidence,
            line_end=line_end(text),
            decimal=options.decimal or layout.decimal,
            preamble=tuple(line[:_SHOWN_CHARACTERS] for line in layout.preamble[:_SHOWN_LINES]),
            advice=(*encoding_advice(encoding, confidence["encoding"]), *_advice(layout, dialect, options)),
        ),
    )


def _dialect(found: Verdict, options: ImportOptions, encoding: str) -> Dialect:
    dialect = found.dialect(encoding)
    if options.skip_initial_space is None:
        return dialect
    return replace(dialect, skip_initial_space="always" if options.skip_initial_space else "never")


def _escape_confidence(text: str, found: Verdict, layout: Layout) -> float:
    """1.0 where no backslash stands before what it could escape, else how regular the records are by the verdict."""
    is_untouched = not any(
        ESCAPE + special in text for special in (found.quote_char or found.delimiter, found.delimiter)
    )
    return 1.0 if is_untouched else layout.agreement or UNTESTED


def _advice(layout: Layout, dialect: Dialect, options: ImportOptions) -> tuple[str, ...]:
    """What a user may want to say that looking does not decide, since it would drop or change something."""
    advice = []
    if layout.header_looks_like_data:
        advice.append("The header looks like a row of data. If it is one, say header_rows=0.")
    if layout.preamble and options.skip_rows is None:
        lines = len(layout.preamble)
        advice.append(f"{lines} line(s) above the header are left out. If they are rows, say skip_rows=0.")
    if layout.counted_lines:
        advice.append(
            f"header_rows counts {layout.counted_lines} line(s) that look like titles above the table. "
            f"If it counts rows of the table only, say skip_rows={layout.counted_lines}."
        )
    if layout.starts_with_blank and options.skip_initial_space is None:
        advice.append("Cells begin with a blank, which is kept. To leave it out, say skip_initial_space=true.")
    if dialect.delimiter == " " and options.skip_initial_space is None:
        advice.append("Each blank separates two cells. If runs of blanks do, say skip_initial_space=true.")
    if layout.agreement < UNTESTED and options.delimiter is None and layout.width > 1:
        advice.append("Rows differ in their number of cells. If the delimiter is wrong, say delimiter.")
    return tuple(advice)


def find_data_start(
    read: Callable[[int, int], bytes],
    size_bytes: int,
    dialect: Dialect,
    header_rows: int,
    *,
    mark_bytes: int,
    max_record_bytes: int,
    skip_lines: int = 0,
) -> DataStart:
    """Read the header records, and where there are none the first data record, to know the columns.

    Args:
        read: gives the bytes [start, end) of the source.
        size_bytes: of the source.
        header_rows: how many records the header has; blank lines above it do not count.
        skip_lines: physical lines above it that are no part of the table.

    Returns:
        With no header the columns are those of the first record that is not blank, 0 where that is too long.

    Raises:
        SourceFormatError: the header is longer than two records may be.
    """
    allow_long_cells(max_record_bytes)
    splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
    wanted = max(header_rows, 1)
    span, longest_span = HEAD_BYTES, max(HEAD_BYTES, 2 * max_record_bytes)
    start = _behind_lines(read, size_bytes, mark_bytes, skip_lines)
    filled = _behind_blank_lines(read, size_bytes, start)
    if filled < HEAD_BYTES // 2:
        span = HEAD_BYTES - filled  # no more than the head, which is known
    while True:
        end = min(size_bytes, filled + span)
        data = read(filled, end)
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
                f"The first {wanted:,} record(s) take more than {span:,} bytes, which is too long for a header. "
                "If the delimiter or the quote was found wrongly, say delimiter or quote_char; if rows have none of "
                "these, header_rows=0 reads them without a header."
            )
        span = min(4 * span, longest_span)
    columns = records[-1][0] if records else ()
    if header_rows == 0:
        return DataStart(header_records=(), data_start=start, column_count=len(columns))
    data_start = filled + records[-1][1] if len(records) == wanted else size_bytes
    return DataStart(
        header_records=tuple(cells for cells, _ in records), data_start=data_start, column_count=len(columns)
    )


def _behind_lines(read: Callable[[int, int], bytes], size_bytes: int, start: int, lines: int) -> int:
    """The offset behind so many physical lines from `start` on; the end of the source where there are fewer."""
    while lines > 0 and start < size_bytes:
        data = read(start, min(size_bytes, _window_end(start)))
        if data.endswith(b"\r") and start + len(data) < size_bytes:
            data = data[:-1] or data + read(start + 1, start + 2)  # half a line end, perhaps
        position = 0
        for found in _LINE_END.finditer(data):
            position = found.end()
            lines -= 1
            if lines == 0:
                return start + position
        start += position if position and lines else len(data)
    return start


def _window_end(start: int) -> int:
    """So that the first bytes asked for are those of the head, which are known."""
    return (start // HEAD_BYTES + 1) * HEAD_BYTES


def _behind_blank_lines(read: Callable[[int, int], bytes], size_bytes: int, start: int) -> int:
    """The offset of the first byte from `start` on that ends no blank line; the end of the source if there is none."""
    while start < size_bytes:
        data = read(start, min(size_bytes, _window_end(start)))
        blank = len(data) - len(data.lstrip(b"\r\n"))
        start += blank
        if blank < len(data):
            break
    return start


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

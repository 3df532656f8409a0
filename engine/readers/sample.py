"""The records of a text that is a sample, each as its raw cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from engine.model import Dialect
from engine.readers.records import RecordSpan, RecordSplitter, count_lines

#: Records by which a sample that has fewer may be told to end inside of a quoted cell.
_FEW_RECORDS = 300


class SampleRecord(NamedTuple):
    """One record of a sample."""

    cells: list[str]
    """As they stand there, quotes and escapes included; [""] of a blank line."""
    lines: int
    """Physical lines that it takes."""
    is_broken: bool
    text: str
    """Without its line end."""


def sample_records(text: str, dialect: Dialect, *, is_whole: bool) -> Iterator[SampleRecord]:
    """Yield the records of a text that begins at a record's start.

    Args:
        is_whole: whether its last record is whole even where no line end follows.
    """
    data = text.encode("utf-8", "replace")
    splitter = RecordSplitter(dialect, max_record_bytes=len(data))
    pattern = _cell_pattern(dialect.delimiter, dialect.quote_char or "", dialect.escape_char or "")
    for span in _spans(splitter, data, is_whole=is_whole):
        record = data[span.start : span.end].decode("utf-8").rstrip("\r\n")
        if span.broken_cell is not None and not span.is_closed:
            cells = record.split(dialect.delimiter)
        else:
            # Where the record does not end with a delimiter, the pattern matches once more behind its last cell.
            cells = pattern.findall(record)
            if len(cells) > 1 and not _ends_with_delimiter(record, cells, dialect.delimiter):
                cells.pop()
        lines = max(1, count_lines(data, span.start, span.end))
        yield SampleRecord(cells, lines, span.broken_cell is not None, record)


def _spans(splitter: RecordSplitter, data: bytes, *, is_whole: bool) -> Iterator[RecordSpan]:
    spans = splitter.split(data, is_last=is_whole)
    first = list(islice(spans, _FEW_RECORDS))
    if len(first) < _FEW_RECORDS and (not first or first[-1].end < len(data) / 2):
        # A quote that is open until the end of the sample is rather a stray one.
        return splitter.split(data, is_last=True)
    return chain(first, spans)


@lru_cache(maxsize=64)
def _cell_pattern(delimiter: str, quote: str, escape: str) -> re.Pattern[str]:
    end, mark, escape = re.escape(delimiter), re.escape(quote), re.escape(escape)
    escaped = rf"|{escape}[\s\S]?+" if escape else ""
    cell = f"(?:[^{end}{escape}]++{escaped})*+"
    if quote:
        blanks = "" if delimiter == " " else " *+"
        cell = f"{blanks}{mark}(?:[^{mark}{escape}]++|{mark}{mark}{escaped})*+{mark}{cell}|{cell}"
    return re.compile(f"({cell})(?:{end}|\\Z)")


def _ends_with_delimiter(record: str, cells: list[str], delimiter: str) -> bool:
    """Whether the last match of the cell pattern, the empty one at the end, is a cell."""
    return sum(map(len, cells)) + len(cells) - 1 == len(record) and record.endswith(delimiter)

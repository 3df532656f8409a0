"""Bytes → dialect, record ends, rows."""

from engine.readers.encoding import EncodingEvidence, needs_transcoding
from engine.readers.head import HEAD_BYTES, DataStart, Head, find_data_start, look
from engine.readers.records import count_lines
from engine.readers.rows import BrokenRow, Row, bytes_to_read, read_rows
from engine.readers.scan import RecordBlock, RecordScanner
from engine.readers.slices import RowSlice, read_slices, sliced

__all__ = [
    "HEAD_BYTES",
    "BrokenRow",
    "DataStart",
    "EncodingEvidence",
    "Head",
    "RecordBlock",
    "RecordScanner",
    "Row",
    "RowSlice",
    "bytes_to_read",
    "count_lines",
    "find_data_start",
    "look",
    "needs_transcoding",
    "read_rows",
    "read_slices",
    "sliced",
]

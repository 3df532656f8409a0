"""Bytes → dialect, record ends, rows and frames. What needs numpy is imported where it is used."""

from engine.readers.dialect import UNTESTED
from engine.readers.encoding import EncodingEvidence, encoding_advice, needs_transcoding
from engine.readers.frame import TextFrame
from engine.readers.frames import read_frame
from engine.readers.head import HEAD_BYTES, DataStart, Head, find_data_start, look
from engine.readers.kind import SourceKind, kind_of_start, tell_kind
from engine.readers.records import count_lines
from engine.readers.rows import BrokenRow, Row, bytes_to_read, read_rows
from engine.readers.scan import RecordScanner
from engine.readers.slices import PIECE_BYTES, PlainText, RowSlice, plain_text, read_slices, sliced

__all__ = [
    "HEAD_BYTES",
    "PIECE_BYTES",
    "UNTESTED",
    "BrokenRow",
    "DataStart",
    "EncodingEvidence",
    "Head",
    "PlainText",
    "RecordScanner",
    "Row",
    "RowSlice",
    "SourceKind",
    "TextFrame",
    "bytes_to_read",
    "count_lines",
    "encoding_advice",
    "find_data_start",
    "kind_of_start",
    "look",
    "needs_transcoding",
    "plain_text",
    "read_frame",
    "read_rows",
    "read_slices",
    "sliced",
    "tell_kind",
]

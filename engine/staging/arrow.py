"""A table staged as Arrow record batches, cut so that chunks begin and end between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from zlib_ng.zlib_ng import crc32

from engine.arrow_form import END_OF_STREAM, ERROR_COLUMN, ROWS_PER_BATCH, schema_of
from engine.model import Chunk, Source
from engine.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedTable:
    """A table that stands in a workspace, with its chunks."""

    readable: Source
    """The staged object, pinned."""
    data_start: int
    """Byte offset of its first record batch."""
    column_count: int
    chunks: list[Chunk]
    total_rows: int
    header_records: tuple[tuple[str, ...], ...] = ()
    details: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """As in `Plan`."""


def stage_as_arrow(
    batches: Iterable[pa.RecordBatch],
    column_count: int,
    target: Storage,
    target_key: str,
    *,
    chunk_size: int,
    max_chunk_bytes: int,
    first_line_number: int = 1,
) -> StagedTable:
    """Write batches as a stream, in memory of about one of them and `max_chunk_bytes`.

    A repeat with the same rows in the same batches makes the same copy and the same chunks.

    Args:
        batches: in the form of `engine.arrow_form.batch_of`, in order, of any length.
        chunk_size: rows of a chunk, at most.
        max_chunk_bytes: bytes of a chunk, at most; a row that is longer gets a chunk of its own.
        first_line_number: 1-based line (of a sheet: row) on which the first row stands; a row is a line.

    Raises:
        OutputNotWritableError: the target refuses writes.
        Exception: whatever `batches` raises; nothing is left in the target then.
    """
    schema = schema_of(column_count)
    cutter = _ChunkCutter(chunk_size, max_chunk_bytes, first_line_number)
    with target.open_writer(target_key) as writer:
        start = writer.write(schema.serialize().to_pybytes())
        cutter.end = cutter.start = start
        for batch in batches:
            for message in cutter.cut(batch):
                writer.write(message)
        writer.write(END_OF_STREAM)
    cutter.finish()
    info = target.stat(target_key)
    return StagedTable(
        readable=Source(url=target.url_of(target_key), size_bytes=info.size_bytes, etag=info.etag),
        data_start=start,
        column_count=column_count,
        chunks=cutter.chunks,
        total_rows=cutter.row_index - 1,
    )


class _ChunkCutter:
    """Cuts batches into messages, and gathers messages into chunks."""

    def __init__(self, chunk_size: int, max_chunk_bytes: int, first_line_number: int) -> None:
        self._chunk_size = chunk_size
        self._max_chunk_bytes = max_chunk_bytes
        self._lines_above = first_line_number - 1
        self._rows = 0
        self._irregular = False
        self._crc32 = 0
        self.chunks: list[Chunk] = []
        self.start = 0
        """Offset of the chunk in hand."""
        self.end = 0
        """Offset behind the last message."""
        self.row_index = 1
        """1-based, of the next row."""

    def cut(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        """The messages of a batch, in order."""
        offset = 0
        while offset < batch.num_rows:
            room = min(ROWS_PER_BATCH, self._chunk_size - self._rows)
            message, piece = self._fitting(batch.slice(offset, room))
            if self._rows and self.end + message.size - self.start > self._max_chunk_bytes:
                self.finish()
                continue  # a fresh chunk may have room for more of the batch
            self.end += message.size
            self._rows += piece.num_rows
            self.row_index += piece.num_rows
            errors = piece.column(ERROR_COLUMN)
            self._irregular = self._irregular or errors.null_count < len(errors)
            offset += piece.num_rows
            data = message.to_pybytes()
            self._crc32 = crc32(data, self._crc32)
            yield data
            if self._rows == self._chunk_size:
                self.finish()

    def finish(self) -> None:
        """End the chunk in hand, if it has rows."""
        if not self._rows:
            return
        first_row_index = self.row_index - self._rows
        self.chunks.append(
            Chunk(
                chunk_index=len(self.chunks),
                byte_start=self.start,
                byte_end=self.end,
                first_row_index=first_row_index,
                row_count=self._rows,
                first_line_number=self._lines_above + first_row_index,
                irregular=self._irregular,
                crc32=self._crc32,
            )
        )
        self.start, self._rows, self._irregular, self._crc32 = self.end, 0, False, 0

    def _fitting(self, piece: pa.RecordBatch) -> tuple[pa.Buffer, pa.RecordBatch]:
        """The longest start of a piece, by halves, whose message fits into a chunk; a single row always does."""
        while piece.num_rows > 1 and piece.nbytes > self._max_chunk_bytes:
            piece = piece.slice(0, piece.num_rows // 2)
        message = piece.serialize()
        while piece.num_rows > 1 and message.size > self._max_chunk_bytes:
            piece = piece.slice(0, piece.num_rows // 2)
            message = piece.serialize()
        return message, piece

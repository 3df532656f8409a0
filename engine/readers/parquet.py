"""Parquet → record batches of text, a row group's pages at a time; what its footer claims is not believed.

Libraries believe it: a page that claims to be 2 GiB long gets them, and some footers end the process.
So a file of a user's is read in a process of its own (`engine.table.parquet_child`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.arrow_form import batch_of
from engine.config import MIB, EngineConfig
from engine.errors import SourceDamagedError, SourceFormatError, SourceProtectedError, SourceTooLargeError
from engine.readers.arrow_text import UndecodableError, as_lenient_text, as_text

MAX_COLUMNS = 10_000
#: Bytes of the footer: some hundred for each column of each row group.
_MAX_FOOTER_BYTES = 64 * MIB
#: Bytes fetched at once for each column, and for all of them together.
_BUFFER_BYTES, _MIN_BUFFER_BYTES, _BUFFERS_BYTES = 256 * 1024, 16 * 1024, 64 * MIB
#: Rows and cells of a batch.
_ROWS_PER_BATCH, _CELLS_PER_BATCH = 20_000, 400_000
#: Text of a batch that is made at once.
_TEXT_BYTES = 8 * MIB
#: Values that repeat take Parquet hardly any room, so that honest files too have large ratios: so many
#: times `max_unpacked_ratio`, and only beyond these bytes.
_TEXT_RATIO_FACTOR, _TEXT_RATIO_FREE_BYTES = 10, 256 * MIB
#: The same for a single column, however large the others are; short values that repeat are not counted there.
_FREE_BYTES_PER_VALUE = 256
#: What pyarrow says of an empty value in a column of lists of a fixed length, and the first version that reads one.
_EMPTY_FIXED_LIST, _EMPTY_FIXED_LISTS_SINCE = "Expected all lists to be of size", 26


class ParquetReader:
    """One Parquet file as a table of text."""

    def __init__(self, file: io.RawIOBase, config: EngineConfig, *, size_bytes: int, source: str) -> None:
        """
        Args:
            file: seekable; kept open.

        Raises:
            SourceDamagedError: the footer makes no sense.
            SourceTooLargeError: the footer is longer than that of any table.
            SourceFormatError: there are no columns, or more than MAX_COLUMNS.
        """
        self._config = config
        self._size_bytes = size_bytes
        self._source = source
        file.seek(max(0, size_bytes - 8))
        if int.from_bytes((file.read(8) or b"")[:4], "little") > _MAX_FOOTER_BYTES:
            raise SourceTooLargeError(f"{source} has a footer of more than {_MAX_FOOTER_BYTES:,} bytes.", source=source)
        settings: dict[str, Any] = {"pre_buffer": False}
        with self._told():
            found = pq.ParquetFile(file, **settings)
            schema = found.schema_arrow
            settings["buffer_size"] = max(
                _MIN_BUFFER_BYTES, min(_BUFFER_BYTES, _BUFFERS_BYTES // max(1, found.metadata.num_columns))
            )
            # Texts stay references to their dictionary: a page that names one long text a million times is harmless.
            texts = [field.name for field in schema if _is_stringy(field.type)]
            self._file = pq.ParquetFile(file, metadata=found.metadata, read_dictionary=texts, **settings)
        self.columns: tuple[str, ...] = tuple(schema.names)
        self._metadata = found.metadata
        self._packed_bytes: list[int] | None = None
        if not 0 < len(self.columns) <= MAX_COLUMNS:
            raise SourceFormatError(
                f"{source} has {len(self.columns):,} columns; from 1 to {MAX_COLUMNS:,} are read.", source=source
            )
        config.check_rows(found.metadata.num_rows, source)

    def learn_column_sizes(self) -> None:
        """Have `batches` hold each column to its own size in the file, too.

        Only in a process that may be lost: over the metadata of damaged row groups pyarrow ends it.

        Raises:
            SourceDamagedError: the columns take more bytes than the file has.
        """
        sizes: dict[str, int] = dict.fromkeys(self.columns, 0)
        with self._told():
            for number in range(self._metadata.num_row_groups):
                group = self._metadata.row_group(number)
                for index in range(group.num_columns):
                    chunk = group.column(index)
                    name = chunk.path_in_schema.partition(".")[0]
                    sizes[name] = sizes.get(name, 0) + max(0, chunk.total_compressed_size)
        if sum(sizes.values()) > self._size_bytes:
            raise SourceDamagedError(
                f"{self._source} is damaged: its columns claim more bytes than it has. Write it again.",
                source=self._source,
            )
        self._packed_bytes = [sizes[name] for name in self.columns]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the form of `engine.arrow_form`.

        Raises:
            SourceDamagedError: a page does not unpack, or is not what the footer says.
            SourceTooLargeError: the text is more than the limits allow.
            SourceFormatError: a column is of a type that has no text.
        """
        config, text_bytes, row_number = self._config, 0, 1
        ratio = _TEXT_RATIO_FACTOR * config.max_unpacked_ratio
        most_bytes = min(config.max_unpacked_bytes, max(_TEXT_RATIO_FREE_BYTES, ratio * self._size_bytes))
        rows = max(1, min(_ROWS_PER_BATCH, _CELLS_PER_BATCH // len(self.columns)))
        column_bytes = np.zeros(len(self.columns), np.int64)
        packed_bytes = np.array(self._packed_bytes or [self._size_bytes] * len(self.columns), np.int64)
        with self._told():
            for batch in self._file.iter_batches(batch_size=rows, use_threads=False):
                for piece, is_too_long in _pieces(batch, config.max_record_bytes):
                    found = self._too_long(row_number) if is_too_long else self._text_of(piece, row_number)
                    text_bytes += found.nbytes
                    if text_bytes > most_bytes:
                        raise SourceTooLargeError(
                            f"{self._source} unpacks to more than the {most_bytes:,} bytes that are allowed. Split it.",
                            source=self._source,
                            limit=most_bytes,
                        )
                    row_number += piece.num_rows
                    column_bytes += [column.nbytes for column in found.columns[:-1]]
                    allowed = _TEXT_RATIO_FREE_BYTES + _FREE_BYTES_PER_VALUE * row_number + ratio * packed_bytes
                    if (column_bytes > allowed).any():
                        self._refuse_column(int(np.argmax(column_bytes - allowed)), row_number - 1)
                    yield found

    def _refuse_column(self, index: int, rows: int) -> None:
        raise SourceTooLargeError(
            f"{self._source} looks like a decompression bomb: its column {self.columns[index][:100]!r} unpacks to more "
            f"than {_TEXT_RATIO_FACTOR * self._config.max_unpacked_ratio:,} times its size within {rows:,} rows. "
            "Write the table as CSV, if it is one.",
            source=self._source,
            limit=self._config.max_unpacked_ratio,
        )

    def _text_of(self, batch: pa.RecordBatch, row_number: int) -> pa.RecordBatch:
        columns: list[pa.Array] = []
        errors: dict[int, str] = {}
        for name, column in zip(self.columns, batch.columns, strict=True):
            try:
                columns.append(as_text(column))
            except UndecodableError:
                plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                texts, wrong = as_lenient_text(plain)
                columns.append(texts)
                for index in wrong:
                    errors.setdefault(index, f"Row {row_number + index}: {name!r} holds bytes that are not UTF-8 text.")
        if not errors:
            return batch_of(columns)
        messages = [errors.get(index) for index in range(batch.num_rows)]
        return batch_of(columns, pa.array(messages, pa.string()))

    def _too_long(self, row_number: int) -> pa.RecordBatch:
        limit = self._config.max_record_bytes
        message = f"Row {row_number}: it is more than {limit:,} bytes long, which is too long for a row."
        return batch_of([pa.array([""])] * len(self.columns), pa.array([message]))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What pyarrow raises on damaged files as one of our errors; an error of the storage passes through."""
        try:
            yield
        except MemoryError as error:
            raise SourceTooLargeError(
                f"{self._source} needs more than the {self._config.parquet_memory_bytes // MIB:,} MiB of memory that "
                "are allowed to read it: a page of it is huge, or claims to be. Write it in smaller pages, or as CSV.",
                source=self._source,
                limit=self._config.parquet_memory_bytes,
            ) from error
        except pa.ArrowNotImplementedError as error:
            raise SourceFormatError(
                f"{self._source} holds something that is not read ({str(error)[:200]}). Write it as CSV.",
                source=self._source,
            ) from error
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if _EMPTY_FIXED_LIST in str(error) and int(pa.__version__.partition(".")[0]) < _EMPTY_FIXED_LISTS_SINCE:
                raise SourceFormatError(
                    f"{self._source} has an empty value in a column of lists of a fixed length, which pyarrow "
                    f"{pa.__version__} does not read. Install pyarrow {_EMPTY_FIXED_LISTS_SINCE} or newer, "
                    "or write the column as lists of any length.",
                    source=self._source,
                ) from error
            if "crypt" in str(error).lower():
                raise SourceProtectedError(
                    f"{self._source} has encrypted columns. Write it without encryption.", source=self._source
                ) from error
            raise SourceDamagedError(
                f"{self._source} is damaged: it is not readable as Parquet ({str(error)[:200]}). Write it again.",
                source=self._source,
            ) from error


def _is_stringy(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _pieces(batch: pa.RecordBatch, max_row_bytes: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """The rows of a batch cut so that the texts of a piece are not many bytes; a row with too many stands alone."""
    ends = np.cumsum(_text_bytes(batch))
    if not len(ends) or ends[-1] <= _TEXT_BYTES:
        yield batch, False
        return
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _TEXT_BYTES, "right")))
        yield batch.slice(start, stop - start), stop == start + 1 and int(ends[start]) - before > max_row_bytes
        start = stop


def _text_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Bytes of each row in the columns of text."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)
        elif _is_stringy(column.type):
            lengths = pc.binary_length(column).cast(pa.int64())
        else:
            continue
        total += cast(Any, lengths.fill_null(0)).to_numpy(zero_copy_only=False)
    return total

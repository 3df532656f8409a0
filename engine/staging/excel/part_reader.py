"""The columns of a sheet from the bytes of its parts as they are inflated: parsed in pieces, by several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from engine.native import loops
from engine.staging.excel.marks import CellKinds, IrregularSheetError, Marker
from engine.staging.excel.piece_parser import StringBuffers, parse_rows, parse_strings, read_rows
from engine.staging.excel.pieces import RowCutter, RowPiece, StringCutter

#: Threads that parse; more of them wait for the one that puts marks before cells.
_MAX_THREADS = 3
#: Bytes of a part of shared strings that each piece is parsed with, at most: so much costs less than marks.
_FEW_STRINGS_BYTES = 256 * 1024


class PartReader:
    """Takes the part of the shared strings, if there is one, and then that of the sheet; holds their text.

    Beside the text, memory is that of some pieces of XML.
    """

    def __init__(self, kinds: CellKinds, *, in_threads: bool) -> None:
        self._kinds = kinds
        self._marker: Marker | None = None
        self._string_cutter, self._row_cutter = StringCutter(), RowCutter()
        self._few_strings: list[bytes] | None = []
        self._few_bytes = 0
        self._strings: list[pa.Array] = []
        self._all_strings: pa.Array | None = None
        self._string_buffers: StringBuffers | None = None
        self._is_first = True
        self._pieces: list[tuple[RowPiece, int, dict[int, pa.Array]]] = []
        self._pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) if in_threads else None
        self._running: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def feed_strings(self, block: bytes) -> None:
        """The next bytes of the shared strings.

        Raises:
            IrregularSheetError: this sheet is not to be read in pieces.
        """
        if self._few_strings is not None:
            self._few_strings.append(block)
            self._few_bytes += len(block)
            if self._few_bytes <= _FEW_STRINGS_BYTES:
                return
            block, self._few_strings = b"".join(self._few_strings), None
        self._cut_strings(block)

    def feed_rows(self, block: bytes) -> None:
        """The next bytes of the sheet; from the first of them on, there are no more strings.

        Raises:
            IrregularSheetError: this sheet is not to be read in pieces.
        """
        self._begin_rows()
        if piece := self._row_cutter.feed(block):
            self._add(piece)

    def columns(self) -> list[pa.Array]:
        """All cells as the user sees them: text, null or empty where there is none, from the first row and column on.

        Raises:
            IrregularSheetError: this sheet is not to be read in pieces.
        """
        self._begin_rows()
        if piece := self._row_cutter.finish():
            self._add(piece)
        self._wait(0)
        width = max((len(columns) for _, _, columns in self._pieces), default=0)
        return [self._column(index) for index in range(width)]

    def _column(self, index: int) -> pa.Array:
        """One column, which is not kept in pieces any longer."""
        arrays: list[pa.Array] = []
        row = 1
        for piece, height, columns in self._pieces:
            if piece.first_row > row:
                arrays.append(pa.nulls(piece.first_row - row, pa.string()))
            arrays.append(columns.pop(index) if index in columns else pa.nulls(height, pa.string()))
            row = piece.first_row + height
        is_large = any(array.type == pa.large_string() for array in arrays) or _bytes_of(arrays) >= 2**31
        return pa.concat_arrays([array.cast(pa.large_string()) for array in arrays] if is_large else arrays)

    def _add(self, piece: RowPiece) -> None:
        self._do(partial(self._parse, is_first=self._is_first), self._pieces.append, piece)
        self._is_first = False

    def _parse(self, piece: RowPiece, *, is_first: bool) -> tuple[RowPiece, int, dict[int, pa.Array]]:
        marker = self._marker
        assert marker is not None, "made before the first rows"
        columns = read_rows(piece, marker.letter_table, self._string_buffers)
        if columns is None:
            if is_first:
                marker.check_first(piece.xml)
            parsed = parse_rows(piece, marker.mark(piece.xml), b"".join(self._few_strings or ()))
            columns = [(column, True) for column in parsed]
        texts = {
            index: marker.unmark(column, self._all_strings) if has_marks else column
            for index, (column, has_marks) in enumerate(columns)
        }
        return replace(piece, xml=b""), len(columns[0][0]), texts

    def _begin_rows(self) -> None:
        if self._marker is not None:
            return
        self._marker = Marker(self._kinds, marks_strings=self._few_strings is None)
        if self._few_strings is None:
            self._all_strings = strings = self._end_strings()
        elif self._few_strings and loops is not None:
            try:
                self._cut_strings(b"".join(self._few_strings))
                strings = self._end_strings()
            except IrregularSheetError:
                return  # the parser gets them as they are
        else:
            return
        _, offsets, texts = strings.buffers()
        self._string_buffers = offsets.slice(8 * strings.offset, 8 * (len(strings) + 1)), texts or pa.py_buffer(b"")

    def _cut_strings(self, block: bytes) -> None:
        if xml := self._string_cutter.feed(block):
            self._do(parse_strings, self._strings.append, xml)

    def _end_strings(self) -> pa.Array:
        """All shared strings, with `int64` offsets."""
        if xml := self._string_cutter.finish():
            self._do(parse_strings, self._strings.append, xml)
        self._wait(0)
        strings = [array.cast(pa.large_string()) for array in self._strings]
        self._strings.clear()
        return pa.concat_arrays(strings) if strings else pa.array([], pa.large_string())

    def _do(self, work: Callable[[Any], Any], keep: Callable[[Any], None], value: Any) -> None:
        """Work in a thread, if there are some; what comes of it is kept in the order in which the work was given."""
        if self._pool is None:
            keep(_guarded(work, value))
            return
        self._running.append((self._pool.submit(_guarded, work, value), keep))
        self._wait(_MAX_THREADS + 1)

    def _wait(self, most: int) -> None:
        while len(self._running) > most:
            future, keep = self._running.popleft()
            keep(future.result())


def _guarded(work: Callable[[Any], Any], value: Any) -> Any:
    """What the library cannot parse in a piece, it may in the whole, or tell what is wrong with it."""
    try:
        return work(value)
    except BaseException as error:
        import fastexcel  # most workbooks do without it

        # A panic of the library is no Exception and has no public class.
        if isinstance(error, fastexcel.FastExcelError) or type(error).__name__ == "PanicException":
            raise IrregularSheetError(str(error)[:200]) from error
        raise


def _bytes_of(arrays: list[pa.Array]) -> int:
    return sum(array.nbytes for array in arrays)

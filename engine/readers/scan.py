"""One streaming pass over a CSV that finds where every record ends.

The ends are found by quote parity on whole arrays (numpy): a line end after an even number of
quotes ends a record. Parity equals the exact rule of `records` if each opening quote stands at the
start of a cell or right behind a quote, and each closing one before a delimiter, a line end or
another quote. Slices in which any quote stands elsewhere are cut by the exact rule instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.model import Dialect
from engine.readers.records import RecordSplitter, count_lines

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Bytes looked at in one go: their arrays stay in the processor's cache, and small whatever the bytes are.
SLICE_BYTES = 256 * 1024
_LF, _CR = 10, 13


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Consecutive records of the source; the three arrays have the same length."""

    ends: Integers
    """Absolute byte offset behind each record's line end."""
    line_counts: Integers
    """Physical lines of the block up to and with each record, those inside quotes included."""
    broken: Flags
    """Which of the records are broken (see `records`)."""


class RecordScanner:
    """Finds the records of a stream of blocks in memory bounded by one block and one record."""

    def __init__(self, dialect: Dialect, *, max_record_bytes: int) -> None:
        """
        Args:
            dialect: delimiter and quote, ASCII bytes in the source's encoding.
            max_record_bytes: a record that is longer is broken, and is cut at a physical line end.
        """
        self._quote = (dialect.quote_char or "").encode("ascii")
        self._escape = (dialect.escape_char or "").encode("ascii")
        self._splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
        self._max_record_bytes = max_record_bytes
        #: By byte: whether it may stand next to a quote that parity can be trusted with.
        self._may_border_quote = np.zeros(256, np.bool_)
        self._may_border_quote[[_LF, _CR, ord(dialect.delimiter), *self._quote]] = True

    def scan(self, blocks: Iterable[bytes], start: int) -> Iterator[RecordBlock]:
        """Yield the records of the stream, blank lines included.

        Args:
            blocks: the bytes from `start` on, cut anywhere; `start` is a record's start.
            start: absolute offset of the first byte.
        """
        carry, offset = b"", start  # what no record was made of yet, and where it starts
        enough_bytes = 0
        skipped_lines: int | None = None  # lines of an overlong record before its last, which is skipped
        for piece, is_last in _with_last_flag(_in_slices(blocks)):
            data = carry + piece
            if skipped_lines is not None:
                cut = _first_line_end(data, is_last=is_last)
                if cut is None:
                    carry = b"\r" if data.endswith(b"\r") else b""
                    offset += len(data) - len(carry)
                    continue
                offset += cut
                yield RecordBlock(np.array([offset]), np.array([skipped_lines + 1]), np.array([True]))
                skipped_lines, data = None, data[cut:]
            elif len(data) < enough_bytes and not is_last:
                carry = data
                continue
            block = self._cut(data, is_last=is_last)
            if len(block.ends):
                carry = data[block.ends[-1] :]
                yield RecordBlock(block.ends + offset, block.line_counts, block.broken)
            else:
                carry = data
            offset += len(data) - len(carry)
            # A record that grows over many blocks is looked at each time it has doubled, not at each block.
            enough_bytes = min(2 * len(carry), self._max_record_bytes + 1)
            if len(carry) > self._max_record_bytes and not carry.endswith(b"\r"):
                # A record that is too long ends with a line (see `records`), and this line has no end yet.
                skipped_lines = count_lines(carry)
                offset += len(carry)
                carry = b""

    def _cut(self, data: bytes, *, is_last: bool) -> RecordBlock:
        """The records of `data`, their ends relative to it."""
        # Arrays of a long record would take many times its memory; there are few of them.
        block = self._by_parity(data, is_last=is_last) if len(data) <= 2 * SLICE_BYTES else None
        if block is not None:
            return block
        spans = list(self._splitter.split(data, is_last=is_last))
        lines = np.fromiter((count_lines(data, span.start, span.end) for span in spans), np.int64, len(spans))
        if is_last and not data.endswith((b"\n", b"\r")):
            lines[-1:] += 1  # the last line lacks its end
        return RecordBlock(
            np.fromiter((span.end for span in spans), np.int64, len(spans)),
            np.cumsum(lines),
            np.fromiter((span.broken_cell is not None for span in spans), np.bool_, len(spans)),
        )

    def _by_parity(self, data: bytes, *, is_last: bool) -> RecordBlock | None:
        """As `_cut`; None where parity and the exact rule may differ."""
        if self._escape and self._escape in data:
            return None
        array = np.frombuffer(data, np.uint8)
        ends = _line_ends(data, array, is_last=is_last)
        line_counts: Integers = np.arange(1, len(ends) + 1)
        if self._quote and self._quote in data:
            quotes = np.flatnonzero(array == self._quote[0])
            if not self._is_regular(array, quotes, is_last=is_last):
                return None
            # searchsorted gives the number of quotes before each line's end.
            is_end = (np.searchsorted(quotes, ends) & 1) == 0
            ends, line_counts = ends[is_end], line_counts[is_end]
        if self._has_long_record(ends, len(data)):
            return None
        return RecordBlock(ends, line_counts, np.zeros(len(ends), np.bool_))

    def _has_long_record(self, ends: Integers, size: int) -> bool:
        """Whether a record, or the rest behind the last one, is longer than allowed."""
        if size <= self._max_record_bytes:
            return False
        edges = np.concatenate([[0], ends, [size]])
        return bool(np.diff(edges).max(initial=0) > self._max_record_bytes)

    def _is_regular(self, array: npt.NDArray[np.uint8], quotes: Integers, *, is_last: bool) -> bool:
        """Whether every quote stands where parity can be trusted with it."""
        if is_last and len(quotes) % 2:
            return False  # a quote that never closes
        opening, closing = quotes[0::2], quotes[1::2]
        if opening[0] == 0:
            opening = opening[1:]
        if len(closing) and closing[-1] == len(array) - 1:
            closing = closing[:-1]
        may_border = self._may_border_quote
        return bool(may_border[array[opening - 1]].all() and may_border[array[closing + 1]].all())


def _line_ends(data: bytes, array: npt.NDArray[np.uint8], *, is_last: bool) -> Integers:
    """Offsets behind each LF, CRLF or lone CR; at the end of the source also behind an unended last line."""
    ends = np.flatnonzero(array == _LF) + 1
    if b"\r" in data:
        returns = np.flatnonzero(array == _CR)
        if returns[-1] == len(array) - 1:
            # The next block may begin with the LF of this CR.
            lone = returns[:-1][array[returns[:-1] + 1] != _LF]
            if is_last:
                lone = np.append(lone, returns[-1])
        else:
            lone = returns[array[returns + 1] != _LF]
        if len(lone):
            ends = np.sort(np.concatenate([ends, lone + 1]), kind="stable")
    if is_last and len(array) and (not len(ends) or ends[-1] != len(array)):
        ends = np.append(ends, len(array))
    return ends


def _first_line_end(data: bytes, *, is_last: bool) -> int | None:
    ends = _line_ends(data, np.frombuffer(data, np.uint8), is_last=is_last)
    return int(ends[0]) if len(ends) else None


def _in_slices(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of at most SLICE_BYTES, none of them empty."""
    for block in blocks:
        if len(block) <= SLICE_BYTES:
            if block:
                yield block
        else:
            for start in range(0, len(block), SLICE_BYTES):
                yield block[start : start + SLICE_BYTES]


def _with_last_flag(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous: bytes | None = None
    for block in blocks:
        if previous is not None:
            yield previous, False
        previous = block
    if previous is not None:
        yield previous, True

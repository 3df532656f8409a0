"""One streaming pass over a CSV that finds where every record ends.

Within a block the ends are found by quote parity on whole arrays (numpy): a line end after an
even number of quotes ends a record. Parity equals the exact rule of `records` if each opening
quote stands at the start of a cell or right behind a quote, and each closing one before a
delimiter, a line end or another quote. Blocks in which any quote stands elsewhere are cut by the
exact rule instead. Measured on 1,000,000 rows of 111 MB: 1,050 MB/s, with every cell quoted
570 MB/s, on one core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import SourceFormatError
from engine.model import Dialect
from engine.readers.encoding import EncodingEvidence
from engine.readers.records import RecordSplitter

Offsets = npt.NDArray[np.int64]

_LF, _CR = 10, 13
#: Blank lines in a row; more are not a table, and remembering them would take memory without bound.
MAX_BLANK_RUN = 1_000_000


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Consecutive records of the source, as absolute byte offsets."""

    ends: Offsets
    """Behind each record's line end, ascending."""
    line_ends: Offsets
    """Behind each physical line end up to the last record's end, those inside quotes included."""
    broken: npt.NDArray[np.bool_]
    """Which of the records are broken (see `records`); same length as `ends`."""


class RecordScanner:
    """Finds the records of a stream of blocks in memory bounded by one block and one record."""

    def __init__(self, dialect: Dialect, *, max_record_bytes: int, evidence: EncodingEvidence | None = None) -> None:
        """
        Args:
            dialect: delimiter and quote, ASCII bytes in the source's encoding.
            max_record_bytes: a record that is longer is broken, and is cut at a physical line end.
            evidence: is shown every byte of the records found, to judge the encoding by.
        """
        self._delimiter = ord(dialect.delimiter)
        self._quote = None if dialect.quote_char is None else ord(dialect.quote_char)
        self._splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
        self._max_record_bytes = max_record_bytes
        self._evidence = evidence

    def scan(self, blocks: Iterable[bytes], start: int) -> Iterator[RecordBlock]:
        """Yield the records of the stream, blank lines at its very end left out.

        Args:
            blocks: the bytes from `start` on; `start` is a record's start.
            start: absolute offset of the first byte.

        Raises:
            SourceFormatError: more than `MAX_BLANK_RUN` blank lines in a row.
        """
        held: RecordBlock | None = None  # blank lines, rows only if anything follows them
        for block, filled in self._blocks(blocks, start):
            if filled == 0:
                held = block if held is None else _join(held, block)
            else:
                whole = block if held is None else _join(held, block)
                cut = len(whole.ends) - (len(block.ends) - filled)
                yield _slice(whole, 0, cut)
                held = _slice(whole, cut, len(whole.ends)) if cut < len(whole.ends) else None
            if held is not None and len(held.ends) > MAX_BLANK_RUN:
                raise SourceFormatError(
                    f"The source has more than {MAX_BLANK_RUN:,} blank lines in a row, up to byte {held.ends[-1]:,}. "
                    "Remove them and import again."
                )

    def _blocks(self, blocks: Iterable[bytes], start: int) -> Iterator[tuple[RecordBlock, int]]:
        """Record blocks, each with the number of its records up to and with the last one that is not blank."""
        carry, offset = b"", start
        in_long_line = False  # inside a line longer than max_record_bytes, of which nothing is kept
        for piece, is_last in _with_last_flag(blocks):
            if in_long_line:
                cut = _first_line_end(piece, is_last=is_last)
                offset += len(piece) if cut is None else cut
                if cut is None:
                    continue
                in_long_line, piece = False, piece[cut:]
                yield _broken_record(offset), 1
            data = carry + piece if carry else piece
            ends, broken, line_ends = self._ends(data, is_last=is_last)
            consumed = int(ends[-1]) if len(ends) else 0
            if consumed:
                if self._evidence is not None:
                    self._evidence.add(data[:consumed])
                yield RecordBlock(ends + offset, line_ends + offset, broken), _count_to_last_filled(data, ends)
            carry = data[consumed:]
            offset += consumed
            if len(carry) > self._max_record_bytes and not carry.endswith(b"\r"):
                # The splitter ends every record that is too long with a line; this line has no end yet.
                in_long_line, carry, offset = True, b"", offset + len(carry)
        if in_long_line:
            yield _broken_record(offset), 1

    def _ends(self, data: bytes, *, is_last: bool) -> tuple[Offsets, npt.NDArray[np.bool_], Offsets]:
        """Record ends, which records are broken, and physical line ends, relative to `data`."""
        array = np.frombuffer(data, np.uint8)
        lines = _line_ends(array, is_last=is_last)
        quotes = np.flatnonzero(array == self._quote) if self._quote is not None else np.empty(0, np.int64)
        ends = lines
        if len(quotes):
            # searchsorted gives the number of quotes before each line's end.
            ends = lines[(np.searchsorted(quotes, lines) & 1) == 0]
        if self._is_regular(array, quotes, is_last=is_last) and not self._has_long_record(ends, len(data)):
            broken = np.zeros(len(ends), np.bool_)
        else:
            spans = list(self._splitter.split(data, is_last=is_last))
            ends = np.fromiter((span.end for span in spans), np.int64, len(spans))
            broken = np.fromiter((span.broken_quote is not None for span in spans), np.bool_, len(spans))
        return ends, broken, lines[: np.searchsorted(lines, ends[-1], "right")] if len(ends) else lines[:0]

    def _has_long_record(self, ends: Offsets, size: int) -> bool:
        """Whether a record, or the rest behind the last one, is longer than allowed."""
        edges = np.concatenate([[0], ends, [size]])
        return bool(np.diff(edges).max(initial=0) > self._max_record_bytes)

    def _is_regular(self, array: npt.NDArray[np.uint8], quotes: Offsets, *, is_last: bool) -> bool:
        """Whether quote parity and the exact rule agree on all of `array`."""
        if not len(quotes):
            return True
        if is_last and len(quotes) % 2:
            return False  # a quote that never closes
        delimiter, quote = self._delimiter, self._quote
        opening = quotes[0::2]
        before = array[opening[1:] - 1] if opening[0] == 0 else array[opening - 1]
        if not _all_in(before, delimiter, quote):
            return False
        closing = quotes[1::2]
        after = array[closing[closing < len(array) - 1] + 1]
        return _all_in(after, delimiter, quote)


def _all_in(values: npt.NDArray[np.uint8], delimiter: int, quote: int | None) -> bool:
    return bool(((values == delimiter) | (values == _LF) | (values == _CR) | (values == quote)).all())


def _line_ends(array: npt.NDArray[np.uint8], *, is_last: bool) -> Offsets:
    """Offsets behind each LF, CRLF or lone CR; at the last block also behind an unended last line."""
    ends = np.flatnonzero(array == _LF) + 1
    returns = np.flatnonzero(array == _CR)
    if len(returns):
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
    return ends.astype(np.int64, copy=False)


def _first_line_end(data: bytes, *, is_last: bool) -> int | None:
    ends = _line_ends(np.frombuffer(data, np.uint8), is_last=is_last)
    return int(ends[0]) if len(ends) else None


def _broken_record(end: int) -> RecordBlock:
    ends = np.array([end], np.int64)
    return RecordBlock(ends, ends, np.array([True]))


def _count_to_last_filled(data: bytes, ends: Offsets) -> int:
    """How many records there are up to and with the last one that is not a blank line."""

    def is_blank(start: int) -> bool:
        return data[start] in (_LF, _CR)

    count = len(ends)
    if not is_blank(int(ends[-2]) if count > 1 else 0):
        return count
    starts = np.concatenate([[0], ends[:-1]])
    first_bytes = np.frombuffer(data, np.uint8)[starts]
    filled = np.flatnonzero((first_bytes != _LF) & (first_bytes != _CR))
    return int(filled[-1]) + 1 if len(filled) else 0


def _join(first: RecordBlock, second: RecordBlock) -> RecordBlock:
    return RecordBlock(
        np.concatenate([first.ends, second.ends]),
        np.concatenate([first.line_ends, second.line_ends]),
        np.concatenate([first.broken, second.broken]),
    )


def _slice(block: RecordBlock, start: int, stop: int) -> RecordBlock:
    ends = block.ends[start:stop]
    low = np.searchsorted(block.line_ends, block.ends[start - 1], "right") if start else 0
    high = np.searchsorted(block.line_ends, ends[-1], "right")
    return RecordBlock(ends, block.line_ends[low:high], block.broken[start:stop])


def _with_last_flag(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous: bytes | None = None
    for block in blocks:
        if previous is not None:
            yield previous, False
        previous = block
    if previous is not None:
        yield previous, True

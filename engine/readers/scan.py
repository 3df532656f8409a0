"""One streaming pass over a CSV that finds where every record ends.

The ends are found by quote parity, in the compiled loop or on whole arrays (numpy): a line end after
an even number of quotes ends a record. Parity equals the exact rule of `records` if each opening quote stands at the
start of a cell or right behind a quote, and each closing one before a delimiter, a line end or
another quote. Slices in which any quote stands elsewhere, or with escapes, are walked through cell by cell, by
another compiled loop; those with a broken record are cut by `records` itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from engine.model import Dialect
from engine.native import loops
from engine.readers.parity import record_ends
from engine.readers.records import RecordSplitter, count_lines

#: Bytes looked at in one go: the arrays that come of them stay in the processor's cache, and small.
SLICE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Consecutive records of the source."""

    ends: Sequence[int]
    """Absolute byte offset behind each record's line end."""
    line_counts: Sequence[int]
    """As many: physical lines of the block up to and with each record, those inside quotes included."""
    broken: bytes
    """As many: 1 for a record that is broken (see `records`), else 0. Empty where none is."""


class RecordScanner:
    """Finds the records of a stream of blocks in memory bounded by one block and one record."""

    def __init__(self, dialect: Dialect, *, max_record_bytes: int) -> None:
        """
        Args:
            dialect: delimiter and quote, ASCII bytes in the source's encoding.
            max_record_bytes: a record that is longer is broken, and is cut at a physical line end.
        """
        self._delimiter = ord(dialect.delimiter)
        self._quote = ord(dialect.quote_char) if dialect.quote_char is not None else -1
        self._escape = (dialect.escape_char or "").encode("ascii")
        self._skips_blanks = dialect.skip_initial_space != "never"
        self._splitter = RecordSplitter(dialect, max_record_bytes=max_record_bytes)
        self._max_record_bytes = max_record_bytes

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
                yield RecordBlock([offset], [skipped_lines + 1], b"\1")
                skipped_lines, data = None, data[cut:]
            elif len(data) < enough_bytes and not is_last:
                carry = data
                continue
            block = self._cut(data, offset, is_last=is_last)
            carry = data
            if len(block.ends):
                carry = data[block.ends[-1] - offset :]
                yield block
            offset += len(data) - len(carry)
            # A record that grows over many blocks is looked at each time it has doubled, not at each block.
            enough_bytes = min(2 * len(carry), self._max_record_bytes + 1)
            if len(carry) > self._max_record_bytes and not carry.endswith(b"\r"):
                # A record that is too long ends with a line (see `records`), and this line has no end yet.
                skipped_lines = count_lines(carry)
                offset += len(carry)
                carry = b""

    def _cut(self, data: bytes, offset: int, *, is_last: bool) -> RecordBlock:
        """The records of `data`, which stands at `offset`."""
        # Arrays of a long record would take many times its memory; there are few of them.
        block = self._by_loops(data, offset, is_last=is_last) if len(data) <= 2 * SLICE_BYTES else None
        if block is not None:
            return block
        spans = list(self._splitter.split(data, is_last=is_last))
        lines = [count_lines(data, span.start, span.end) for span in spans]
        if lines and is_last and not data.endswith((b"\n", b"\r")):
            lines[-1] += 1  # the last line lacks its end
        return RecordBlock(
            array("q", [offset + span.end for span in spans]),
            array("q", accumulate(lines)),
            bytes(span.broken_cell is not None for span in spans),
        )

    def _by_loops(self, data: bytes, offset: int, *, is_last: bool) -> RecordBlock | None:
        """As `_cut`; None where a record may be broken, or is too long."""
        found = self._by_parity(data, offset, is_last=is_last)
        if found is None and loops is not None:
            escape = self._escape[0] if self._escape else -1
            dialect = (self._delimiter, self._quote, escape, self._skips_blanks)
            found = _unpacked(loops.exact_ends(data, offset, *dialect, is_last))
        if found is None or self._has_long_record(found[0], offset, len(data)):
            return None
        return RecordBlock(*found, b"")

    def _by_parity(self, data: bytes, offset: int, *, is_last: bool) -> tuple[Sequence[int], Sequence[int]] | None:
        """Ends and line counts; None where parity and the exact rule may differ."""
        if self._escape and self._escape in data:
            return None
        if loops is None:
            return record_ends(data, offset, self._delimiter, self._quote, is_last)
        return _unpacked(loops.record_ends(data, offset, self._delimiter, self._quote, is_last))

    def _has_long_record(self, ends: Sequence[int], offset: int, size: int) -> bool:
        """Whether a record, or the rest behind the last one, is longer than allowed."""
        if size <= self._max_record_bytes:
            return False
        return any(end - start > self._max_record_bytes for start, end in pairwise((offset, *ends, offset + size)))


def _unpacked(packed: tuple[bytes, bytes] | None) -> tuple[Sequence[int], Sequence[int]] | None:
    return None if packed is None else (memoryview(packed[0]).cast("q"), memoryview(packed[1]).cast("q"))


def _first_line_end(data: bytes, *, is_last: bool) -> int | None:
    """The offset behind the first LF, CRLF or lone CR; at the end of the source also behind a line without one."""
    line_feed = data.find(b"\n")
    carriage_return = data.find(b"\r", 0, line_feed if line_feed >= 0 else len(data))
    if carriage_return < 0:
        return line_feed + 1 if line_feed >= 0 else len(data) if is_last and data else None
    if carriage_return + 1 < len(data):
        return carriage_return + (2 if line_feed == carriage_return + 1 else 1)
    # The next block may begin with the LF of this CR.
    return len(data) if is_last else None


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

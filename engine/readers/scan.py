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
#: Bytes of a block that are copied behind the start of a record in the block before, to find where it ends.
_JOINED_BYTES = 4 * 1024
_RETURN = ord("\r")


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
        window, offset = _Window(blocks), start  # the offset of the window's first byte
        enough_bytes = 0
        skipped_lines: int | None = None  # lines of an overlong record before its last, which is skipped
        while window.reach(enough_bytes):
            if skipped_lines is not None:
                taken = window.first_line_end()
                if taken is not None:
                    yield RecordBlock([offset + taken], [skipped_lines + 1], b"\1")
                    skipped_lines = None
                else:
                    taken = window.size - window.ends_in_return()
                    enough_bytes = 2 if taken < window.size else 0
                offset += taken
                window.take(taken)
                continue
            block = self._cut(window, offset)
            if len(block.ends):
                yield block
                window.take(block.ends[-1] - offset)
                offset = block.ends[-1]
            # A record that grows over many blocks is looked at each time it has doubled, not at each block.
            enough_bytes = min(2 * window.size, self._max_record_bytes + 1)
            if window.size > self._max_record_bytes and not window.ends_in_return():
                # A record that is too long ends with a line (see `records`), and this line has no end yet.
                skipped_lines = count_lines(window.data, window.start, window.end)
                offset += window.size
                window.take(window.size)
                enough_bytes = 0

    def _cut(self, window: _Window, offset: int) -> RecordBlock:
        """The records of the window, which stands at `offset`."""
        # Arrays of a long record would take many times its memory; there are few of them.
        block = self._by_loops(window, offset) if window.size <= 2 * SLICE_BYTES else None
        if block is not None:
            return block
        data, is_last = window.content(), window.is_last
        spans = list(self._splitter.split(data, is_last=is_last))
        lines = [count_lines(data, span.start, span.end) for span in spans]
        if lines and is_last and not data.endswith((b"\n", b"\r")):
            lines[-1] += 1  # the last line lacks its end
        return RecordBlock(
            array("q", [offset + span.end for span in spans]),
            array("q", accumulate(lines)),
            bytes(span.broken_cell is not None for span in spans),
        )

    def _by_loops(self, window: _Window, offset: int) -> RecordBlock | None:
        """As `_cut`; None where a record may be broken, or is too long."""
        found = self._by_parity(window, offset)
        if found is None and loops is not None:
            escape = self._escape[0] if self._escape else -1
            dialect = (self._delimiter, self._quote, escape, self._skips_blanks)
            found = _unpacked(loops.exact_ends(window.data, window.start, window.end, offset, *dialect, window.is_last))
        if found is None or self._has_long_record(found[0], offset, window.size):
            return None
        return RecordBlock(*found, b"")

    def _by_parity(self, window: _Window, offset: int) -> tuple[Sequence[int], Sequence[int]] | None:
        """Ends and line counts; None where parity and the exact rule may differ."""
        if self._escape and window.data.find(self._escape, window.start, window.end) >= 0:
            return None
        if loops is None:
            return record_ends(window.content(), offset, self._delimiter, self._quote, window.is_last)
        where = (window.data, window.start, window.end, offset)
        return _unpacked(loops.record_ends(*where, self._delimiter, self._quote, window.is_last))

    def _has_long_record(self, ends: Sequence[int], offset: int, size: int) -> bool:
        """Whether a record, or the rest behind the last one, is longer than allowed."""
        if size <= self._max_record_bytes:
            return False
        return any(end - start > self._max_record_bytes for start, end in pairwise((offset, *ends, offset + size)))


class _Window:
    """The part of a stream that is looked at, moved over its blocks without a copy, but for records that two share."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = filter(None, blocks)
        self._next: bytes | None = b""  # asked for when it is needed; None at the end of the stream
        self._rest: tuple[bytes, int] | None = None  # the block that the end of `data` was copied from, and up to where
        self.data = b""
        self.start = 0
        self.end = 0

    @property
    def size(self) -> int:
        """Bytes that are looked at, `data[start:end]`."""
        return self.end - self.start

    @property
    def is_last(self) -> bool:
        """Whether the stream ends with it."""
        return self.end == len(self.data) and self._rest is None and self._following() is None

    def content(self) -> bytes:
        """What is looked at."""
        return self.data[self.start : self.end]

    def ends_in_return(self) -> bool:
        """Whether its last byte is a CR, and perhaps half a CRLF."""
        return self.size > 0 and self.data[self.end - 1] == _RETURN

    def take(self, count: int) -> None:
        """Move its start, at most up to its end."""
        self.start += count
        if self._rest is not None:
            block, stop = self._rest
            shift = stop - len(self.data)
            if self.start + shift >= 0:
                # What is left stands in the block as well.
                self.data, self.start, self.end, self._rest = block, self.start + shift, self.end + shift, None

    def reach(self, enough_bytes: int) -> bool:
        """Move its end, so that it holds more than before, and as much as that, where the stream does.

        Returns:
            False at the end of the stream, where it holds nothing.
        """
        if self.is_last and not self.size:
            return False
        enough_bytes = max(enough_bytes, self.size + 1)
        missing = self.start + enough_bytes - len(self.data)
        if missing > 0:
            self._join(missing)
        self.end = min(len(self.data), self.start + max(enough_bytes, SLICE_BYTES))
        return True

    def _join(self, missing: int) -> None:
        """Put as many of the bytes that follow behind what is held, and of the last of their blocks some more."""
        pieces = [self.data[self.start :]] if self.start < len(self.data) else []
        while missing > 0 and (self._rest is not None or self._following() is not None):
            block, at = self._rest or (self._next or b"", 0)
            if self._rest is None:
                self._next = b""
            self._rest = None
            if at == 0 and not pieces:
                pieces.append(block)
                break
            stop = at + max(missing, _JOINED_BYTES)
            pieces.append(block[at:stop])
            missing -= len(pieces[-1])
            if stop < len(block):
                self._rest = (block, stop)
        self.data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.start = self.end = 0

    def _following(self) -> bytes | None:
        """The block behind what is held."""
        if self._next == b"":
            self._next = next(self._blocks, None)
        return self._next

    def first_line_end(self) -> int | None:
        """As many bytes as go up to the first LF, CRLF or lone CR; at the end of the stream also a line without one."""
        data, start, end = self.data, self.start, self.end
        line_feed = data.find(b"\n", start, end)
        carriage_return = data.find(b"\r", start, line_feed if line_feed >= 0 else end)
        if carriage_return < 0:
            return line_feed + 1 - start if line_feed >= 0 else self.size if self.is_last and self.size else None
        if carriage_return + 1 < end:
            return carriage_return - start + (2 if line_feed == carriage_return + 1 else 1)
        # The next block may begin with the LF of this CR.
        return self.size if self.is_last else None


def _unpacked(packed: tuple[bytes, bytes] | None) -> tuple[Sequence[int], Sequence[int]] | None:
    return None if packed is None else (memoryview(packed[0]).cast("q"), memoryview(packed[1]).cast("q"))

"""The rows of an Excel file in fragments that any process can make, in any order: compressed XML to be joined.

A fragment holds certain rows of the result, wherever the chunks begin and end; so the same rows give the
same fragments and the same file. What the joiner must know of a fragment stands in its key, so that a
listing tells it all.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from tempfile import SpooledTemporaryFile

from zlib_ng import zlib_ng

from engine.errors import InconsistentJobError, OutputNotWritableError, StorageError
from engine.model import Part
from engine.results.parts import MAX_HELD_BYTES
from engine.results.records import count_records, read_records, record_pieces
from engine.results.sheet_rows import MAX_SHEET_ROWS, SheetRows, xml_of_records, xml_of_rows
from engine.results.zip_container import Checked
from engine.storage.part_checks import read_part
from engine.storage.protocol import Storage

#: Rows of a fragment: at some 80 compressed bytes a row it is large enough for S3 to copy it by itself
#: (5 MiB), and takes a process a quarter of a second.
FRAGMENT_ROWS = 65_536
#: Of zlib. XML of rows is so repetitive that level 6 saves a sixth more and takes three times as long.
COMPRESSION_LEVEL = 1
#: Bytes read from a part at a time.
BLOCK_BYTES = 1024 * 1024
#: Bytes of records that become XML at once.
PIECE_BYTES = 64 * 1024

_KEY = re.compile(
    r"(?P<index>[0-9]{8,})-(?P<crc32>[0-9a-f]{8})-(?P<raw_bytes>[0-9]+)-(?P<size_bytes>[0-9]+)-(?P<columns>[0-9]+)"
    r"-(?P<stored_crc32>[0-9a-f]{8})\.deflate"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPart:
    """A part and the rows that the ledger says it has."""

    part: Part
    row_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentPlan:
    """Which rows a fragment has: [start, end) of the result's rows, header not counted, all of one sheet."""

    index: int
    sheet_index: int
    start: int
    end: int
    first_row_number: int
    """Where they begin in their sheet, 1-based; the header is row 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A fragment that is stored. Builds and parses its key, of which the folder is the caller's."""

    index: int
    checked: Checked
    size_bytes: int
    stored_crc32: int
    """Of the bytes that are stored."""
    column_count: int
    """Cells of the widest row."""

    @staticmethod
    def prefix(folder: str, index: int) -> str:
        """What the key of this fragment starts with."""
        return f"{folder}/{index:08d}-"

    def part(self, folder: str) -> Part:
        """The stored object."""
        checked = self.checked
        facts = f"{checked.crc32:08x}-{checked.raw_bytes}-{self.size_bytes}-{self.column_count}-{self.stored_crc32:08x}"
        key = f"{self.prefix(folder, self.index)}{facts}.deflate"
        return Part(key=key, size_bytes=self.size_bytes, crc32=self.stored_crc32)

    @classmethod
    def parse(cls, key: str) -> Fragment:
        """The inverse of `part`. Raises ValueError for the key of something else."""
        match = _KEY.fullmatch(key.rpartition("/")[2])
        if match is None:
            raise ValueError(f"{key!r} is not the key of a fragment.")
        return cls(
            index=int(match["index"]),
            checked=Checked(crc32=int(match["crc32"], 16), raw_bytes=int(match["raw_bytes"])),
            size_bytes=int(match["size_bytes"]),
            column_count=int(match["columns"]),
            stored_crc32=int(match["stored_crc32"], 16),
        )


class SheetFragments:
    """The fragments of one result file."""

    def __init__(
        self,
        storage: Storage,
        folder: str,
        parts: Sequence[CountedPart],
        *,
        temp_dir: str | None = None,
        max_sheet_rows: int = MAX_SHEET_ROWS,
    ) -> None:
        """
        Args:
            folder: where the fragments are stored.
            parts: in chunk order, as the ledger names them.
            temp_dir: where a fragment waits that is too large for memory; None for the system's.
            max_sheet_rows: rows of a sheet, header included; a further sheet takes what is more.
        """
        self._storage = storage
        self._folder = folder
        self._parts = [part for part in parts if part.row_count]
        self._temp_dir = temp_dir
        self._sheet_rows = max_sheet_rows - 1
        self._fragment_rows = min(FRAGMENT_ROWS, self._sheet_rows)
        #: Where each part begins among the rows of the result, and where the last one ends.
        self._starts = list(accumulate((part.row_count for part in self._parts), initial=0))
        self._per_sheet = -(-self._sheet_rows // self._fragment_rows)

    @property
    def row_count(self) -> int:
        """Rows of the result, header not counted."""
        return self._starts[-1]

    @property
    def sheet_count(self) -> int:
        """Sheets that these take, at least one."""
        return max(1, -(-self.row_count // self._sheet_rows))

    def rows_of_sheet(self, sheet_index: int) -> int:
        """Rows of a sheet, header not counted."""
        return min(self.row_count - sheet_index * self._sheet_rows, self._sheet_rows)

    @property
    def count(self) -> int:
        """How many fragments there are."""
        full_sheets, rows = divmod(self.row_count, self._sheet_rows)
        return full_sheets * self._per_sheet + -(-rows // self._fragment_rows)

    def plan(self, index: int) -> FragmentPlan:
        """The rows of one of them."""
        sheet_index, number = divmod(index, self._per_sheet)
        sheet_start = sheet_index * self._sheet_rows
        start = sheet_start + number * self._fragment_rows
        end = min(start + self._fragment_rows, sheet_start + self._sheet_rows, self.row_count)
        return FragmentPlan(
            index=index, sheet_index=sheet_index, start=start, end=end, first_row_number=start - sheet_start + 2
        )

    def stored(self) -> dict[int, Fragment]:
        """Those that are there already, by index."""
        found = (Fragment.parse(info.key) for info in self._storage.list(f"{self._folder}/"))
        return {fragment.index: fragment for fragment in found}

    def is_stored(self, index: int) -> bool:
        """Whether one is there already."""
        return any(True for _ in self._storage.list(Fragment.prefix(self._folder, index)))

    def part(self, fragment: Fragment) -> Part:
        """The stored object of one."""
        return fragment.part(self._folder)

    def make(self, index: int, *, should_stop: Callable[[], bool] = lambda: False) -> Fragment | None:
        """Write one; a second run writes the same object again. None, and no object, when told to stop.

        Memory is bounded by a block, a piece and the longest record.

        Raises:
            OptionError: a row has more cells than a sheet has columns.
            ObjectMissingError: a part is gone.
            InconsistentJobError: a part has fewer rows than were counted.
            OutputNotWritableError: the storage refuses it, or the temporary folder is full or cannot be written.
        """
        plan = self.plan(index)
        compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        crc32 = raw_bytes = size_bytes = stored_crc32 = columns = 0
        try:
            with SpooledTemporaryFile(MAX_HELD_BYTES, dir=self._temp_dir, prefix="rowmill-") as spool:
                for rows in self._rows(plan):
                    if should_stop():
                        return None
                    xml = rows.xml.encode()
                    crc32 = zlib.crc32(xml, crc32)
                    raw_bytes += len(xml)
                    columns = max(columns, rows.column_count)
                    packed = compressor.compress(xml)
                    stored_crc32 = zlib_ng.crc32(packed, stored_crc32)
                    size_bytes += spool.write(packed)
                # Ends at a whole byte and ends no stream, so that another fragment can follow.
                packed = compressor.flush(zlib.Z_SYNC_FLUSH)
                fragment = Fragment(
                    index=index,
                    checked=Checked(crc32=crc32, raw_bytes=raw_bytes),
                    size_bytes=size_bytes + spool.write(packed),
                    stored_crc32=zlib_ng.crc32(packed, stored_crc32),
                    column_count=columns,
                )
                spool.seek(0)
                key = self.part(fragment).key
                if fragment.size_bytes <= MAX_HELD_BYTES:
                    self._storage.write(key, spool.read())
                    return fragment
                with self._storage.open_writer(key) as writer:
                    while block := spool.read(BLOCK_BYTES):
                        writer.write(block)
        except OSError as error:
            place = self._temp_dir or "the system's temporary folder"
            raise OutputNotWritableError(
                f"The Excel file cannot be put together in {place}: {error}. "
                "Make room there, choose another folder (ROWMILL_TEMP_DIR), or ask for output_format csv.",
                output=place,
            ) from error
        return fragment

    def discard(self, fragment: Fragment) -> None:
        """Remove one that is not wanted any more."""
        self._storage.delete([self.part(fragment).key])

    def first_rows(self, count: int) -> list[list[str]]:
        """The first rows of the result, at most so many."""
        rows: list[list[str]] = []
        for counted in self._parts:
            for row in read_records(self._blocks(counted.part)):
                if len(rows) == count:
                    return rows
                rows.append(row)
        return rows

    def _rows(self, plan: FragmentPlan) -> Iterator[SheetRows]:
        at = plan.start
        part_index = bisect_right(self._starts, at) - 1
        while at < plan.end:
            skip, wanted = at - self._starts[part_index], min(self._starts[part_index + 1], plan.end) - at
            for rows in self._rows_of_part(part_index, skip, wanted, at - plan.start + plan.first_row_number, at + 2):
                yield rows
                at += rows.row_count
            part_index += 1

    def _rows_of_part(
        self, part_index: int, skip: int, wanted: int, row_number: int, line_number: int
    ) -> Iterator[SheetRows]:
        part = self._parts[part_index].part
        for piece in record_pieces(self._blocks(part), PIECE_BYTES):
            if not wanted:
                return
            # Rows of which only some are wanted are counted first; that is much cheaper than reading them.
            row_count = count_records(piece)
            if skip >= row_count:
                skip -= row_count
                continue
            if skip or row_count > wanted:
                rows = xml_of_rows(list(read_records([piece]))[skip : skip + wanted], row_number, line_number)
            else:
                rows = xml_of_records(piece, row_number, line_number)
            yield rows
            skip, wanted = 0, wanted - rows.row_count
            row_number, line_number = row_number + rows.row_count, line_number + rows.row_count
        if wanted:
            raise InconsistentJobError(f"The part {part.key} has fewer rows than were counted.", key=part.key)

    def _blocks(self, part: Part) -> Iterator[bytes]:
        if part.size_bytes <= MAX_HELD_BYTES:
            data = read_part(lambda: self._storage.read_range(part.key, 0, part.size_bytes), part)
            for start in range(0, len(data), BLOCK_BYTES):
                yield data[start : start + BLOCK_BYTES]
            return
        found = 0
        for block in self._storage.read_blocks(part.key, 0, part.size_bytes, block_bytes=BLOCK_BYTES):
            found = zlib_ng.crc32(block, found)
            yield block
        if part.crc32 is not None and found != part.crc32:
            raise StorageError(f"The part {part.key} is not the one that was written.", key=part.key)

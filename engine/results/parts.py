"""A chunk's success rows and failed rows on their way to the storage.

Parts are written before the chunk is committed, under a key that holds the attempt and its token:
what a lost attempt leaves behind is never mistaken for the part of the attempt that won.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self, get_args

from zlib_ng.zlib_ng import crc32

from engine import failpoints
from engine.model import Claim, Part
from engine.native import Lines, loops
from engine.results.csv_format import ResultKind, encode_lines, encode_text
from engine.storage.protocol import Storage, Writer

MIB = 1024 * 1024
#: Bytes; a part up to this size is put whole, a larger one is streamed.
MAX_HELD_BYTES = 16 * MIB
#: Bytes from which a piece of a part is held as it came.
_LARGE_BYTES = MIB
#: Bytes of lines that a compiled loop lets grow, about.
_MOST_GROWN_BYTES = 8 * MIB
#: Lines held as Python texts before they become bytes: few enough to stay in the processor's cache.
SLICE_LINES = 2_000

_KINDS = "|".join(get_args(ResultKind))
_NAME = r"[A-Za-z0-9_-]+"
_PART_KEY = re.compile(
    rf"parts/(?P<job_id>{_NAME})/(?P<chunk_index>[0-9]{{8}}|[1-9][0-9]{{8,}})"
    rf"/(?P<attempt>[1-9][0-9]*)-(?P<token>{_NAME})\.(?P<kind>{_KINDS})\.csv"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartKeys:
    """The keys under which one attempt of one chunk writes; the only place that knows their form.

    `parts/{job_id}/{chunk_index:08d}/{attempt}-{token}.{success|failed}.csv`

    Raises:
        ValueError: job_id or token holds something other than letters, digits, `-` and `_`.
    """

    job_id: str
    chunk_index: int
    attempt: int
    """1-based."""
    token: str

    def __post_init__(self) -> None:
        for name in (self.job_id, self.token):
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"{name!r} cannot be in the key of a part: letters, digits, - and _ can.")
        if self.chunk_index < 0 or self.attempt < 1:
            raise ValueError(f"chunk_index {self.chunk_index} or attempt {self.attempt} is out of range.")

    @classmethod
    def of_claim(cls, claim: Claim) -> PartKeys:
        """The keys for this attempt."""
        return cls(job_id=claim.job_id, chunk_index=claim.chunk.chunk_index, attempt=claim.attempt, token=claim.token)

    @classmethod
    def parse(cls, key: str) -> tuple[PartKeys, ResultKind]:
        """The inverse of `key`.

        Raises:
            ValueError: the text is not the key of a part.
        """
        match = _PART_KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{key!r} is not the key of a part.")
        keys = cls(
            job_id=match["job_id"],
            chunk_index=int(match["chunk_index"]),
            attempt=int(match["attempt"]),
            token=match["token"],
        )
        return keys, "success" if match["kind"] == "success" else "failed"

    @staticmethod
    def job_prefix(job_id: str) -> str:
        """What the keys of all parts of a job start with."""
        return f"parts/{job_id}/"

    @staticmethod
    def chunk_prefix(job_id: str, chunk_index: int) -> str:
        """What the keys of all attempts of a chunk start with."""
        return f"parts/{job_id}/{chunk_index:08d}/"

    def key(self, kind: ResultKind) -> str:
        """The key of one of the two parts."""
        return f"{self.chunk_prefix(self.job_id, self.chunk_index)}{self.attempt}-{self.token}.{kind}.csv"


class PartWriter:
    """Collects one part and puts it into the storage as one object, or none when it has no rows.

    Memory is bounded by a slice of lines and `MAX_HELD_BYTES`: what is larger is streamed. Nothing
    is visible in the storage before `finish`; without it, leaving the context throws everything
    away. A second run under the same key writes the same object again.

        with PartWriter(storage, keys.key("failed")) as writer:
            writer.add(result_line(row, "no email"))
            part = writer.finish()

    Raises (all methods):
        OutputNotWritableError, StorageUnavailableError, StorageAccessError: as the storage does.
    """

    def __init__(self, storage: Storage, key: str, *, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._storage = storage
        self._key = key
        self._max_held_bytes = max_held_bytes
        self._lines: list[str] = []
        self._grown: Lines | None = None
        #: Large pieces as they came: to join them would be one copy more, which a folder can do without. Small ones
        #: joined: each would be a hole in the memory for whatever a handler keeps.
        self._held: list[bytes] = []
        self._small = io.BytesIO()
        self._held_bytes = 0
        self._size_bytes = 0
        self._crc32 = 0
        self._stream: Writer | None = None
        self._open = ExitStack()

    def add(self, line: str) -> None:
        """Append one record, given without its line end."""
        if self._grown is not None:
            self._encode()
        self._lines.append(line)
        if len(self._lines) >= SLICE_LINES:
            self._encode()

    def add_lines(self, lines: Sequence[str]) -> None:
        """Append records given without line ends; cheaper than one at a time."""
        self._encode()
        for start in range(0, len(lines), SLICE_LINES):
            self._take(encode_lines(lines[start : start + SLICE_LINES]))

    def add_text(self, text: str) -> None:
        """Append whole records, line ends included."""
        self.add_bytes(encode_text(text))

    def add_bytes(self, records: bytes) -> None:
        """Append whole records that have the form of a result file already, line ends included."""
        self._encode()
        if records:
            self._take(records)

    def lines(self, expected_bytes: int) -> Lines:
        """Where a compiled loop puts whole records, behind all that was added; `took_lines` is to be called then.

        Args:
            expected_bytes: of the whole part.
        """
        assert loops is not None
        if self._lines:
            self._encode()
        if self._grown is None:
            self._grown = loops.new_lines(min(expected_bytes, _MOST_GROWN_BYTES))
        return self._grown

    def took_lines(self) -> None:
        """Keep the memory of lines bounded."""
        assert loops is not None
        if self._grown is not None and loops.size_of_lines(self._grown) >= _MOST_GROWN_BYTES:
            self._encode()

    def finish(self) -> Part | None:
        """Store the part; None, and no object, when nothing was added. Nothing can be added afterwards."""
        self._encode()
        if not self._size_bytes:
            return None
        failpoints.hit("part.before_write")
        if self._stream is None:
            self._storage.write(self._key, self._taken())
        else:
            self._drain(self._stream)
            self._open.close()
        failpoints.hit("part.written")
        return Part(key=self._key, size_bytes=self._size_bytes, crc32=self._crc32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A stream that is still open here was not finished: it must end with an error, or it would appear.
        error = error or _AbandonedPartError()
        self._open.__exit__(type(error), error, traceback)

    def _encode(self) -> None:
        """Take in what has been put somewhere for the time being."""
        if self._grown is not None and loops is not None and loops.size_of_lines(self._grown):
            self._take(loops.take_lines(self._grown))
        if self._lines:
            data = encode_lines(self._lines)
            self._lines = []
            self._take(data)

    def _take(self, data: bytes) -> None:
        if len(data) >= _LARGE_BYTES:
            self._join_small()
            self._held.append(data)
        else:
            self._small.write(data)
        self._held_bytes += len(data)
        self._size_bytes += len(data)
        self._crc32 = crc32(data, self._crc32)
        if self._held_bytes > self._max_held_bytes:
            if self._stream is None:
                self._stream = self._open.enter_context(self._storage.open_writer(self._key))
            self._drain(self._stream)

    def _drain(self, stream: Writer) -> None:
        for data in self._taken():
            stream.write(data)

    def _join_small(self) -> None:
        if self._small.tell():
            self._held.append(self._small.getvalue())
            self._small = io.BytesIO()

    def _taken(self) -> list[bytes]:
        """What is held, for somebody else to hold."""
        self._join_small()
        held, self._held, self._held_bytes = self._held, [], 0
        return held


class _AbandonedPartError(Exception):
    """Tells the storage that a stream was not finished."""

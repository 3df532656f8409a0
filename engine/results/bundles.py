"""Bundles: the parts of consecutive chunks in one object, made while later chunks run. No I/O.

A bundle is a help, and derived from what the ledger names: the merge takes one that is sealed and holds exactly those
parts, and the parts themselves wherever there is none. Its name says what it holds, and has a token of its own, so
that nobody ever writes it twice. The seal, an object without bytes, is written once it is known to be stored whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zlib_ng.zlib_ng import crc32_combine

from engine.model import Part
from engine.results.csv_format import ResultKind
from engine.results.parts import PartKeys
from engine.storage.protocol import ObjectInfo

_DATA, _SEAL = "csv", "sealed"
_NAME = re.compile(
    r"(?P<first>[0-9]{8,})-(?P<last>[0-9]{8,})-(?P<size>[1-9][0-9]*)-(?P<crc32>[0-9a-f]{8})-(?P<token>[0-9a-f]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One of them, by its name."""

    first_chunk: int
    """Of its first part."""
    last_chunk: int
    size_bytes: int
    crc32: int
    """Of all its bytes."""
    token: str
    """Random, hexadecimal."""

    @property
    def _stem(self) -> str:
        return f"{self.first_chunk:08d}-{self.last_chunk:08d}-{self.size_bytes}-{self.crc32:08x}-{self.token}"

    def key(self, job_id: str, kind: ResultKind) -> str:
        """Where its bytes are."""
        return f"{prefix(job_id, kind)}{self._stem}.{_DATA}"

    def seal_key(self, job_id: str, kind: ResultKind) -> str:
        """Where its seal is."""
        return f"{prefix(job_id, kind)}{self._stem}.{_SEAL}"


def prefix(job_id: str, kind: ResultKind) -> str:
    """What the keys of all bundles of one result file start with."""
    return f"{PartKeys.job_prefix(job_id)}bundles/{kind}/"


def bundle_of(parts: Sequence[tuple[int, Part]], token: str) -> Bundle | None:
    """The bundle of these parts, each with its chunk; None where the checksum of one is not known."""
    size, found = 0, 0
    for _, part in parts:
        if part.crc32 is None:
            return None
        size, found = size + part.size_bytes, crc32_combine(found, part.crc32, part.size_bytes)
    return Bundle(first_chunk=parts[0][0], last_chunk=parts[-1][0], size_bytes=size, crc32=found, token=token)


def sealed_bundles(stored: Iterable[ObjectInfo]) -> list[Bundle]:
    """The bundles among the objects below `prefix` that are whole; other objects are passed over."""
    sizes: dict[str, int] = {}
    seals: set[str] = set()
    for info in stored:
        stem, _, kind = info.key.rpartition("/")[2].rpartition(".")
        if kind == _DATA:
            sizes[stem] = info.size_bytes
        elif kind == _SEAL:
            seals.add(stem)
    found = []
    for stem in sorted(seals & sizes.keys()):
        match = _NAME.fullmatch(stem)
        if match is not None and int(match["size"]) == sizes[stem]:
            bundle = Bundle(
                first_chunk=int(match["first"]),
                last_chunk=int(match["last"]),
                size_bytes=int(match["size"]),
                crc32=int(match["crc32"], 16),
                token=match["token"],
            )
            found.append(bundle)
    return found


def with_bundles(parts: Sequence[tuple[int, Part]], bundles: Iterable[Bundle]) -> list[Part | Bundle]:
    """The same bytes in fewer pieces: bundles in place of the parts that they hold, by size and checksum.

    Args:
        parts: each with its chunk, in order, as the ledger names them.
    """
    starting: defaultdict[int, list[Bundle]] = defaultdict(list)
    for bundle in bundles:
        starting[bundle.first_chunk].append(bundle)
    pieces: list[Part | Bundle] = []
    position = 0
    while position < len(parts):
        index, part = parts[position]
        for bundle in sorted(starting[index], key=lambda bundle: -bundle.last_chunk):
            end = position
            while end < len(parts) and parts[end][0] <= bundle.last_chunk:
                end += 1
            if bundle_of(parts[position:end], bundle.token) == bundle:
                pieces.append(bundle)
                position = end
                break
        else:
            pieces.append(part)
            position += 1
    return pieces

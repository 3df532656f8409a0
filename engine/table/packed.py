"""Compressed sources: unpacked once, as UTF-8 where their text is none, and then read as any other text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Protocol

from engine.config import MIB, EngineConfig
from engine.errors import SourceFormatError
from engine.model import Chunk, Plan, Source
from engine.options import ImportOptions
from engine.readers import HEAD_BYTES, SourceKind, kind_of_start, look, needs_transcoding
from engine.readers.unpack import PIECE_BYTES, ungzip, unzstd, within_limits
from engine.readers.zip_entries import choose_member, inflate_blocks, list_entries, packed_range, shown_name
from engine.staging import stage_blocks, staged_key
from engine.storage import Storage, open_location, open_object
from engine.table.checkpoints import Checkpoint, watched
from engine.table.look import Look

#: Bytes that show the first rows.
START_BYTES = 2 * MIB
#: Names at the start of a workbook that is an archive.
_WORKBOOK_MARKS = (b"[Content_Types].xml", b"xl/", b"opendocument.spreadsheet")


class Planner(Protocol):
    """What each kind of source has; see `TablePlanner`."""

    def look(self) -> Look: ...

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]: ...

    @property
    def total_rows(self) -> int: ...

    def settle_encoding(self, plan: Plan) -> Plan: ...


class PackedPlanner:
    """See `TablePlanner`; `look` unpacks, and the planner of what comes out does the rest."""

    def __init__(
        self,
        source: Source,
        options: ImportOptions,
        config: EngineConfig,
        *,
        workspace: Callable[[], Storage],
        job_id: str,
        kind: SourceKind,
        planner_of: Callable[[SourceKind, Source, ImportOptions], Planner],
        start_only: bool,
        checkpoint: Checkpoint,
    ) -> None:
        """
        Args:
            kind: how the source is packed.
            planner_of: gives the planner of what comes out, told by kind, staged copy and the options for it.
            start_only: unpack no more than `START_BYTES`.
        """
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._kind = kind
        self._planner_of = planner_of
        self._start_only = start_only
        self._checkpoint = checkpoint
        self._planner: Planner | None = None
        self._name = source.url
        self._details: dict[str, str | int | float | bool] = {"kind": str(kind)}

    def look(self) -> Look:
        pieces = watched(within_limits(*self._unpacked(), self._config, source=self._source.url), self._checkpoint)
        if self._start_only:
            pieces = islice(pieces, START_BYTES // PIECE_BYTES)
        start, is_whole = _start_of(pieces)
        kind = kind_of_start(
            start, is_whole=is_whole, source=self._name, is_csv=self._options.delimiter is not None
        ) if start else SourceKind.TEXT  # fmt: skip
        if kind not in (SourceKind.TEXT, SourceKind.NDJSON):
            is_workbook = kind.is_workbook or any(mark in start[:4096] for mark in _WORKBOOK_MARKS)
            what = "a workbook" if is_workbook else "Parquet" if kind is SourceKind.PARQUET else "another packed file"
            raise SourceFormatError(
                f"{self._name} holds {what}, which is read only by itself. Unpack it and import what is inside.",
                source=self._source.url,
            )
        head = look(start, self._options, source=self._name, is_whole=is_whole)
        encoding = head.dialect.encoding if needs_transcoding(head.dialect.encoding) else None
        # A key of its own each time: chunks of an earlier plan of the job may be running over its copy.
        copy = staged_key(self._job_id, f"{os.urandom(4).hex()}.unpacked")
        staged = stage_blocks(chain([start], pieces), self._workspace(), copy, encoding=encoding)
        options = self._options if encoding is None else replace(self._options, encoding="utf-8")
        self._planner = self._planner_of(kind, staged, options)
        found = self._planner.look()
        return replace(
            found,
            plan=self._with_details(found.plan),
            source_encoding=encoding or found.source_encoding,
            mark_bytes=head.mark_bytes,
        )

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]:
        return self._chosen.chunks(plan)

    @property
    def total_rows(self) -> int:
        return self._chosen.total_rows

    def settle_encoding(self, plan: Plan) -> Plan:
        return self._with_details(self._chosen.settle_encoding(plan))

    @property
    def _chosen(self) -> Planner:
        assert self._planner is not None, "look comes first"
        return self._planner

    def _with_details(self, plan: Plan) -> Plan:
        return replace(plan, details={**plan.details, **self._details})

    def _unpacked(self) -> tuple[Iterator[bytes], int]:
        """What comes out, in pieces, and how many bytes it is packed in."""
        source, block_bytes = self._source, self._config.scan_block_bytes
        storage, key = open_location(source.url, self._config)
        start, end = 0, source.size_bytes
        if self._kind is SourceKind.ZIP:
            file = open_object(storage, key, size_bytes=source.size_bytes, etag=source.etag)
            entries = list_entries(file, source=source.url, max_entries=self._config.max_archive_entries)
            entry = choose_member(entries, self._options.member, source=source.url)
            start, end = packed_range(file, entry, source=source.url)
            end = min(end, source.size_bytes)
            self._name = f"{source.url} ({shown_name(entry)})"
            self._details["member"] = entry.filename
        blocks = storage.read_blocks(key, start, max(start, end), block_bytes=block_bytes, etag=source.etag)
        if self._kind is SourceKind.ZIP:
            return inflate_blocks(blocks, entry, source=source.url), end - start
        unpack = ungzip if self._kind is SourceKind.GZIP else unzstd
        return unpack(blocks, source=source.url), source.size_bytes


def _start_of(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first `HEAD_BYTES` bytes or more, and whether there are no others."""
    start: list[bytes] = []
    size = 0
    for piece in pieces:
        start.append(piece)
        size += len(piece)
        if size > HEAD_BYTES:
            return b"".join(start), False
    return b"".join(start), True

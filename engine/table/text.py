"""Text as a table: its start says how it is written, one pass over the rest finds the chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from engine.config import EngineConfig
from engine.errors import SourceEmptyError, SourceFormatError
from engine.model import Chunk, Detection, Dialect, Plan, Source
from engine.options import ImportOptions
from engine.planner import DEFAULT_CHUNK_SIZE, ChunkCutter
from engine.readers import (
    HEAD_BYTES,
    UNTESTED,
    DataStart,
    EncodingEvidence,
    Head,
    RecordScanner,
    count_lines,
    encoding_advice,
    find_data_start,
    look,
    needs_transcoding,
)
from engine.results import added_column_of, is_named_as_added
from engine.staging import stage_blocks, staged_key
from engine.storage import Storage
from engine.table.ahead import ahead
from engine.table.checkpoints import Checkpoint, watched
from engine.table.checksums import ChunkSums
from engine.table.known_ranges import KnownRanges
from engine.table.look import Look

#: How many places of a large source are sampled for its encoding, its quotes and its escapes.
_SAMPLES = 8
_SAMPLE_BYTES = 64 * 1024
#: Bytes read from the end of a source to see whether it ends in blank lines.
_TAIL_BYTES = 4 * 1024


class TextPlanner:
    """See `TablePlanner`; for text, which is scanned where it is or, in a wide encoding, staged as UTF-8."""

    def __init__(
        self,
        source: Source,
        options: ImportOptions,
        config: EngineConfig,
        *,
        workspace: Callable[[], Storage],
        job_id: str,
        checkpoint: Checkpoint,
        known: KnownRanges | None = None,
    ) -> None:
        """
        Args:
            source: as pinned.
            workspace: gives the storage for a staged copy, if one is needed.
            job_id: names the staged copy.
            known: what has been read of the source.
        """
        self._source = source
        self._options = options
        self._config = config
        self._workspace = workspace
        self._job_id = job_id
        self._checkpoint = checkpoint
        self._known = known or KnownRanges(source, config)
        self._evidence: EncodingEvidence | None = None
        self._total_rows: int | None = None
        self._has_mark = False
        self._skip_lines = 0

    def look(self) -> Look:
        """Find encoding, dialect, header and where the data begins; stage the source where it has to be.

        Raises:
            SourceError: the source is not a table.
            OutputNotWritableError: a staged copy cannot be written.
        """
        source = self._source
        head = self._look_at_source()
        source_encoding, readable, mark_bytes, dialect = head.dialect.encoding, source, head.mark_bytes, head.dialect
        if needs_transcoding(source_encoding):
            blocks = self._known.blocks(0, source.size_bytes, block_bytes=self._config.scan_block_bytes)
            workspace, staged = self._workspace(), staged_key(self._job_id)
            readable = stage_blocks(watched(blocks, self._checkpoint), workspace, staged, encoding=source_encoding)
            mark_bytes, dialect = 0, replace(dialect, encoding="utf-8")
        start = self._data_start(readable, dialect, mark_bytes)
        self._check_header(start, readable.size_bytes)
        return Look(
            plan=self._plan(dialect, start, readable, head.detection),
            confidence=head.confidence,
            source_encoding=source_encoding,
            mark_bytes=head.mark_bytes,
            header_records=start.header_records,
        )

    def _check_header(self, start: DataStart, size_bytes: int) -> None:
        """Rows that a wrong number took for the header, or skipped, would stand in no result file."""
        name, wanted, found = self._source.url, self._options.header_rows, len(start.header_records)
        if not found and (wanted or self._skip_lines) and start.data_start == size_bytes:
            lines = "nothing but line ends"
            if self._skip_lines:
                lines = f"no line below the {self._skip_lines:,} that skip_rows leaves out"
            raise SourceEmptyError(f"{name} is empty: it holds {lines}.", source=name)
        if found < wanted:
            raise SourceFormatError(
                f"{name} has {found:,} record(s), fewer than the {wanted:,} of the header. Say header_rows.",
                source=name,
            )

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]:
        """Scan the source and yield its chunks in order, those of some megabytes at a time.

        The source is read once, as a stream; blank lines at its very end belong to no chunk.

        Raises:
            SourceChangedError: the source is no longer the pinned one.
        """
        config, known = self._config, self._known_of(plan.readable)
        header = known.read(0, plan.data_start)
        cutter = ChunkCutter(
            start=plan.data_start,
            chunk_size=self._options.chunk_size or DEFAULT_CHUNK_SIZE,
            max_chunk_bytes=config.max_chunk_bytes,
            first_line_number=1 + count_lines(header),
        )
        blocks = known.blocks(plan.data_start, self._data_end(plan), block_bytes=config.scan_block_bytes)
        if self._judges_encoding(plan):
            self._evidence = EncodingEvidence()
            self._evidence.add(header)
            blocks = self._evidence.watch(blocks)
        # Reading and judging go on while the records of the blocks before are found.
        blocks = watched(ahead(blocks), self._checkpoint)
        scanner = RecordScanner(plan.dialect, max_record_bytes=config.max_record_bytes)
        sums = ChunkSums(
            plan.data_start,
            max_held_bytes=config.max_chunk_bytes + config.max_record_bytes + 3 * config.scan_block_bytes,
            max_record_bytes=config.max_record_bytes,
        )
        ready: list[Chunk] = []
        for block in scanner.scan(sums.watch(blocks), plan.data_start):
            ready.extend(map(sums.added, cutter.feed(block.ends, block.line_counts, block.broken)))
            if ready and ready[-1].byte_end - ready[0].byte_start >= config.scan_block_bytes:
                yield ready
                ready = []
        ready.extend(map(sums.added, cutter.finish()))
        if ready:
            yield ready
        self._total_rows = cutter.total_rows

    @property
    def total_rows(self) -> int:
        """Data rows of the source; known when `chunks` has ended."""
        assert self._total_rows is not None, "the scan has not ended"
        return self._total_rows

    def settle_encoding(self, plan: Plan) -> Plan:
        """The plan with the encoding that the whole source speaks for, after `chunks` has ended."""
        if self._evidence is None:
            return plan
        encoding, confidence = self._evidence.verdict_with_confidence()
        known = plan.dialect.encoding
        if needs_transcoding(encoding):
            # It is too late for a copy in UTF-8: the rows concerned fail, and say so.
            encoding, confidence = known, UNTESTED
        found = plan.detection
        before = encoding_advice(known, found.confidence["encoding"])
        advice = (*encoding_advice(encoding, confidence), *(each for each in found.advice if each not in before))
        detection = replace(found, confidence={**found.confidence, "encoding": confidence}, advice=advice)
        if encoding == known:
            return replace(plan, detection=detection)
        dialect = replace(plan.dialect, encoding=encoding)
        start = self._data_start(plan.readable, dialect, 0)
        return self._plan(dialect, start, plan.readable, detection)

    def _judges_encoding(self, plan: Plan) -> bool:
        # A given name, a mark or a staged copy leaves nothing to judge; chunks that run already leave no time to.
        options, is_staged = self._options, plan.readable != self._source
        return options.count_total_first and options.encoding is None and not self._has_mark and not is_staged

    def _known_of(self, readable: Source) -> KnownRanges:
        """What is known of what the chunks are read from: the source, or its staged copy."""
        if readable != self._known.source:
            self._known = KnownRanges(readable, self._config)
        return self._known

    def _look_at_source(self) -> Head:
        size, options, known = self._source.size_bytes, self._options, self._known
        head, places = known.head, self._sampled()
        # The end is asked for with them, as it will be wanted, too.
        samples = known.read_several([*places, (max(0, size - _TAIL_BYTES), size)])[: len(places)]
        found = look(head, options, source=self._source.url, is_whole=size == len(head), samples=tuple(samples))
        self._has_mark = found.mark_bytes > 0
        self._skip_lines = found.skip_lines
        return found

    def _sampled(self) -> list[tuple[int, int]]:
        """Where the source is looked at, apart from its start."""
        size, options = self._source.size_bytes, self._options
        if size <= HEAD_BYTES or None not in (
            options.encoding,
            options.delimiter,
            options.quote_char,
            options.escape_char,
        ):
            return []
        # What the start does not show, as quotes and other characters that come later, places further on may.
        step = (size - HEAD_BYTES) // _SAMPLES
        if step <= _SAMPLE_BYTES:
            return [(HEAD_BYTES, size)]
        starts = range(HEAD_BYTES + step - _SAMPLE_BYTES, size - _SAMPLE_BYTES + 1, step)
        return [(start, start + _SAMPLE_BYTES) for start in starts]

    def _data_start(self, readable: Source, dialect: Dialect, mark_bytes: int) -> DataStart:
        return find_data_start(
            self._known_of(readable).read,
            readable.size_bytes,
            dialect,
            self._options.header_rows,
            mark_bytes=mark_bytes,
            max_record_bytes=self._config.max_record_bytes,
            skip_lines=self._skip_lines,
        )

    def _data_end(self, plan: Plan) -> int:
        """Behind the last line that is not blank: blank lines at the very end are no rows."""
        read, end, behind = self._known_of(plan.readable).read, plan.readable.size_bytes, b""
        step = min(_TAIL_BYTES, self._config.scan_block_bytes)
        while end > plan.data_start:
            start = max(plan.data_start, end - step)
            tail = read(start, end) + behind
            filled = len(tail.rstrip(b"\r\n"))
            if filled:
                line_end = tail[filled : filled + 2]
                return start + filled + (2 if line_end == b"\r\n" else min(1, len(line_end)))
            end, behind = start, tail[:2]
            step = min(4 * step, self._config.scan_block_bytes)
        return plan.data_start

    def _plan(self, dialect: Dialect, start: DataStart, readable: Source, detection: Detection) -> Plan:
        header = start.header_records[-1] if start.header_records else ()
        added = added_column_of(header, self._options.added_columns)
        if added is None and is_named_as_added(header) and self._options.added_columns == "auto":
            advice = f"The last column is named {header[-1]}. If a result file added it, say added_columns=ignore."
            detection = replace(detection, advice=tuple(dict.fromkeys((*detection.advice, advice))))
        return Plan(
            dialect=dialect,
            header=header[:-1] if added else header,
            column_count=start.column_count - (added is not None),
            data_start=start.data_start,
            readable=readable,
            detection=detection,
            added_column=added,
        )

"""The rows of a job that have no outcome, read from the source once more → the third result file.

With it the files of a job that was cancelled, or failed on the way, hold every row of the source once; also where
the scan broke off, as far as the rest of the source can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from zlib_ng.zlib_ng import crc32

from engine.config import EngineConfig
from engine.coordinator.parts import parts_folder, result_key, source_header_cells
from engine.errors import InconsistentJobError, RowmillError, SourceError
from engine.ledger import Ledger
from engine.model import Chunk, Job, Part
from engine.options import ImportOptions
from engine.readers import BrokenRow
from engine.results import (
    PartKeys,
    encode_lines,
    escape_row,
    header_line,
    plain_line,
)
from engine.storage import open_location, open_storage
from engine.table import TextPlanner, read_chunk
from engine.table.checkpoints import no_checkpoint

#: Rows encoded and written together.
_SLICE_LINES = 20_000


def make_unprocessed_file(job: Job, ledger: Ledger, config: EngineConfig) -> tuple[str, RowmillError | None]:
    """Write the file, all or nothing; a repeat makes the same file.

    The rows are in input order, as they were read and without a further cell; a broken one keeps its text.

    Returns:
        Its address; and of a source whose scan broke off, what keeps its last rows from being read.

    Raises:
        SourceChangedError: the source is no longer the one whose other rows were processed.
        ObjectMissingError, StorageError: it cannot be read.
        OptionError: a row is too wide for Excel.
        OutputNotWritableError: the output refuses the file.
    """
    options = ImportOptions.from_mapping(job.options)
    rest = _Rest(job, options, config)
    make = _make_excel_file if options.output_format == "xlsx" else _make_csv_file
    return make(job, ledger, config, options, rest), rest.error


class _Rest:
    """The chunks behind those that are planned, where the scan of the source has broken off."""

    def __init__(self, job: Job, options: ImportOptions, config: EngineConfig) -> None:
        self._job = job
        self._options = options
        self._config = config
        self.error: RowmillError | None = None
        """Why they end before the source does."""

    def chunks(self, planned: Chunk | None) -> Iterator[Chunk]:
        """Scan once more, as far as it goes. What the first scan met may be met again, or be a limit of rows only.

        Args:
            planned: the last one that is.
        """
        plan, job = self._job.plan, self._job
        if job.total_rows is not None or plan is None:
            return
        # What cannot be entered midway is staged to its end before a row of it is run.
        assert plan.form == "text"
        options, config = self._options, self._config
        if plan.chunk_rows and plan.chunk_bytes:  # cut as the first scan did
            options = replace(options, chunk_size=plan.chunk_rows)
            config = replace(config, max_chunk_bytes=plan.chunk_bytes)
        planner = TextPlanner(
            plan.readable,
            options,
            config,
            workspace=lambda: open_storage(job.workspace_url, self._config),
            job_id=job.job_id,
            checkpoint=no_checkpoint,
        )
        try:
            for chunks in planner.chunks(plan):
                for chunk in chunks:
                    if planned is None or chunk.byte_start >= planned.byte_end:
                        self._check_borders(planned, chunk)
                        planned = chunk
                        yield chunk
        except SourceError as error:
            self.error = error

    def _check_borders(self, before: Chunk | None, chunk: Chunk) -> None:
        if before is not None and chunk.byte_start != before.byte_end:
            raise InconsistentJobError(
                f"Chunk {chunk.chunk_index} of job {self._job.job_id} does not begin where the one before it ends: its "
                "source was first cut with other settings.",
                job_id=self._job.job_id,
                chunk_index=chunk.chunk_index,
            )


def _make_csv_file(job: Job, ledger: Ledger, config: EngineConfig, options: ImportOptions, rest: _Rest) -> str:
    output, key = open_storage(job.output_url, config), result_key(job, "unprocessed", "csv")
    header = header_line(source_header_cells(job, options), escape_formulae=config.escape_formulae)
    with output.open_writer(key) as writer:
        writer.write(header)
        for _, block in _blocks(job, ledger, config, rest, escapes=config.escape_formulae):
            writer.write(block)
    return output.url_of(key)


def _make_excel_file(job: Job, ledger: Ledger, config: EngineConfig, options: ImportOptions, rest: _Rest) -> str:
    """By way of a part per slice of rows, as the other two files are made; nothing of them stays."""
    # Few processes ever make an Excel file; the others need not load the library.
    from engine.results.sheet_fragments import CountedPart, SheetFragments
    from engine.results.xlsx import join_xlsx

    output, key = open_storage(job.output_url, config), result_key(job, "unprocessed", "xlsx")
    folder = f"{parts_folder(job)}/{PartKeys.job_prefix(job.job_id)}unprocessed"
    parts: list[CountedPart] = []
    try:
        for rows, block in _blocks(job, ledger, config, rest, escapes=False):
            part = Part(key=f"{folder}/{len(parts):08d}.csv", size_bytes=len(block), crc32=crc32(block))
            output.write(part.key, block)
            parts.append(CountedPart(part=part, row_count=rows))
        sheets = SheetFragments(output, f"{folder}/sheets", parts, temp_dir=config.temp_dir)
        made = {index: fragment for index in range(sheets.count) if (fragment := sheets.make(index)) is not None}
        join_xlsx(output, key, source_header_cells(job, options), sheets, made)
    finally:
        output.delete([info.key for info in output.list(f"{folder}/")])
    return output.url_of(key)


def _blocks(
    job: Job, ledger: Ledger, config: EngineConfig, rest: _Rest, *, escapes: bool
) -> Iterator[tuple[int, bytes]]:
    """The rows without an outcome as records, some at a time with how many they are."""
    plan = job.plan
    if plan is None:
        raise InconsistentJobError(f"Job {job.job_id} has chunks but no plan.", job_id=job.job_id)
    source, source_key = open_location(plan.readable.url, config)
    for chunk, processed in _chunks(job, ledger, rest):
        if processed == chunk.row_count:
            continue
        # A cancel cuts a chunk behind a batch: the rows in front of the cut have their outcome.
        rows = islice(read_chunk(source, source_key, plan, chunk, config), processed, None)
        while batch := list(islice(rows, _SLICE_LINES)):
            cells = [row.cells if isinstance(row, BrokenRow) else row for row in batch]
            yield len(cells), encode_lines([plain_line(escape_row(row) if escapes else row) for row in cells])


def _chunks(job: Job, ledger: Ledger, rest: _Rest) -> Iterator[tuple[Chunk, int]]:
    """All chunks of the source in order, each with how many of its rows have an outcome."""
    planned = None
    for state in ledger.chunk_states(job.job_id):
        planned = state.chunk
        yield state.chunk, state.outcome.counts.processed_rows if state.outcome is not None else 0
    for chunk in rest.chunks(planned):
        yield chunk, 0

"""The rows of a job that have no outcome, read from the source once more → the third result file.

With it the files of a job that was cancelled, or failed on the way, hold every row of the source once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from engine.config import EngineConfig
from engine.coordinator.result_files import below_output, result_header, result_key
from engine.errors import InconsistentJobError
from engine.ledger import Ledger
from engine.model import Job
from engine.options import ImportOptions
from engine.readers import BrokenRow
from engine.results import (
    PartKeys,
    PartWriter,
    encode_lines,
    escape_row,
    header_line,
    make_result_file,
    plain_line,
)
from engine.storage import open_location, open_storage
from engine.table import read_chunk

#: Lines encoded and written together.
_SLICE_LINES = 2_000


def make_unprocessed_file(job: Job, ledger: Ledger, config: EngineConfig) -> str:
    """Write the file, all or nothing, and return its address; a repeat makes the same file.

    The rows are in input order, as they were read and without a further cell; a broken one keeps its text.

    Raises:
        SourceChangedError: the source is no longer the one whose other rows were processed.
        ObjectMissingError, StorageError: it cannot be read.
        OptionError: a row is too wide for Excel.
        OutputNotWritableError: the output refuses the file.
    """
    options = ImportOptions.from_mapping(job.options)
    output = open_storage(job.output_url, config)
    key = result_key(job, "unprocessed", options.output_format)
    escapes = config.escape_formulae and options.output_format == "csv"
    header, blocks = result_header(job, options), _blocks(job, ledger, config, escapes=escapes)
    if options.output_format == "csv":
        with output.open_writer(key) as writer:
            writer.write(header_line(header, escape_formulae=escapes))
            for block in blocks:
                writer.write(block)
        return output.url_of(key)
    workspace, part_key = open_storage(job.workspace_url, config), f"{PartKeys.job_prefix(job.job_id)}unprocessed.csv"
    try:
        with PartWriter(workspace, part_key) as lines:
            for block in blocks:
                lines.add_bytes(block)
            part = lines.finish()
        make_result_file(
            output,
            key,
            output_format=options.output_format,
            header_cells=header,
            parts=[below_output(job, part)] if part is not None else [],
            temp_dir=config.temp_dir,
        )
    finally:
        workspace.delete([part_key])
    return output.url_of(key)


def _blocks(job: Job, ledger: Ledger, config: EngineConfig, *, escapes: bool) -> Iterator[bytes]:
    """The records of all rows without an outcome, chunk by chunk."""
    plan = job.plan
    if plan is None:
        raise InconsistentJobError(f"Job {job.job_id} has chunks but no plan.", job_id=job.job_id)
    source, source_key = open_location(plan.readable.url, config)
    for state in ledger.chunk_states(job.job_id):
        processed = state.outcome.counts.processed_rows if state.outcome is not None else 0
        if processed == state.chunk.row_count:
            continue
        # A cancel cuts a chunk behind a batch: the rows in front of the cut have their outcome.
        rows = islice(read_chunk(source, source_key, plan, state.chunk, config), processed, None)
        while batch := list(islice(rows, _SLICE_LINES)):
            cells = [row.cells if isinstance(row, BrokenRow) else row for row in batch]
            yield encode_lines([plain_line(escape_row(row) if escapes else row) for row in cells])

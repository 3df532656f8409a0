"""Which parts a job's two result files are made of, and how the files are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from engine.config import EngineConfig
from engine.errors import InconsistentJobError
from engine.ledger import Ledger
from engine.model import Job, Part
from engine.options import ImportOptions
from engine.results import EXTRA_COLUMN, ResultKind, column_names, header_line


def parts_folder(job: Job) -> str:
    """The job's workspace, as a key of its output."""
    return job.workspace_url.removeprefix(job.output_url).strip("/")


def parts_of_job(job: Job, ledger: Ledger, kind: ResultKind) -> Iterator[tuple[Part, int]]:
    """The committed parts in input order with their rows, their keys counted from the output's root."""
    return ((part, rows) for _, part, rows in parts_by_chunk(job, ledger, kind))


def parts_by_chunk(job: Job, ledger: Ledger, kind: ResultKind) -> Iterator[tuple[int, Part, int]]:
    """As `parts_of_job`, each with the index of its chunk."""
    for state in ledger.chunk_states(job.job_id):
        if state.outcome is None:
            continue
        counts, part = state.outcome.counts, state.outcome.failed_part
        rows = counts.failure_count
        if kind == "success":
            part, rows = state.outcome.success_part, counts.success_count
        if part is None and rows:
            raise InconsistentJobError(
                f"Chunk {state.chunk.chunk_index} of job {job.job_id} ran without result files, which are now "
                "wanted. Resume the job without them, or import the source anew.",
                job_id=job.job_id,
                chunk_index=state.chunk.chunk_index,
            )
        if part is not None:
            yield state.chunk.chunk_index, in_output(part, job), rows


def in_output(part: Part, job: Job) -> Part:
    """The part with its key counted from the output's root."""
    return replace(part, key=f"{parts_folder(job)}/{part.key}")


def result_header(job: Job, kind: ResultKind, config: EngineConfig) -> bytes:
    """The first line of a success or failed file, escaped like the rows of the parts."""
    cells = result_header_cells(job, kind, ImportOptions.from_mapping(job.options))
    return header_line(cells, escape_formulae=config.escape_formulae)


def result_header_cells(job: Job, kind: ResultKind, options: ImportOptions) -> list[str]:
    """The first line of a success or failed file."""
    return [*source_header_cells(job, options), EXTRA_COLUMN[kind]]


def source_header_cells(job: Job, options: ImportOptions) -> list[str]:
    """The names of the source's columns in every result file."""
    plan = job.plan
    return column_names(plan.header if plan else (), plan.column_count if plan else 0, options.result_header)


def result_key(job: Job, kind: ResultKind | Literal["unprocessed"], output_format: str) -> str:
    """The key of a result file in the job's output."""
    return result_name(job.source.url, kind, output_format)


def result_name(source_url: str, kind: ResultKind | Literal["unprocessed"], output_format: str) -> str:
    """The name of a result file: that of the source, then `.success`, `.failed` or `.unprocessed`."""
    name = PurePosixPath(source_url.rstrip("/")).name
    stem = name.rpartition(".")[0] or name
    return f"{stem}.{kind}.{output_format}"

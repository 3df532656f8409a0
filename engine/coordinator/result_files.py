"""The parts of a job → its success and its failed file, and what is swept afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

from engine import failpoints
from engine.config import EngineConfig
from engine.errors import InconsistentJobError, StorageError
from engine.ledger import Ledger
from engine.model import Job, Part, ResultFiles
from engine.options import ImportOptions
from engine.results import EXTRA_COLUMN, PartKeys, ResultKind, column_names, make_result_file
from engine.staging import staged_prefix
from engine.storage import open_storage

logger = logging.getLogger(__name__)


def make_result_files(job: Job, ledger: Ledger, config: EngineConfig) -> ResultFiles:
    """Merge the parts into the two result files, all or nothing each; a repeat makes the same files."""
    if not config.enable_result_files:
        return ResultFiles()
    success = _make_result_file(job, ledger, config, "success")
    failpoints.hit("finish.success_file")
    return ResultFiles(success_url=success, failed_url=_make_result_file(job, ledger, config, "failed"))


def _make_result_file(job: Job, ledger: Ledger, config: EngineConfig, kind: ResultKind) -> str:
    options = ImportOptions.from_mapping(job.options)
    output = open_storage(job.output_url, config)
    key = result_key(job, kind, options.output_format)
    make_result_file(
        output,
        key,
        output_format=options.output_format,
        header_cells=[*result_header(job, options), EXTRA_COLUMN[kind]],
        parts=_parts(job, ledger, kind),
        escape_formulae=config.escape_formulae,
        temp_dir=config.temp_dir,
    )
    return output.url_of(key)


def _parts(job: Job, ledger: Ledger, kind: ResultKind) -> Iterator[Part]:
    """The committed parts in input order, their keys counted from the output's root."""
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
            yield below_output(job, part)


def failed_parts(job: Job, ledger: Ledger) -> Iterator[Part]:
    """The parts of refused rows in input order, as far as they are kept; keys counted from the output's root."""
    return _parts(job, ledger, "failed")


def below_output(job: Job, part: Part) -> Part:
    """A part of the workspace, its key counted from the output's root."""
    below = job.workspace_url.removeprefix(job.output_url).strip("/")
    return Part(key=f"{below}/{part.key}", size_bytes=part.size_bytes)


def result_header(job: Job, options: ImportOptions) -> list[str]:
    """The names of the source's columns in every result file."""
    plan = job.plan
    return column_names(plan.header if plan else (), plan.column_count if plan else 0, options.result_header)


def sweep(job: Job, ledger: Ledger, config: EngineConfig) -> None:
    """Remove parts and staged copies of a job that has ended; what remains costs room only."""
    try:
        open_storage(job.workspace_url, config).delete(workspace_keys(job, ledger, config))
    except StorageError:
        logger.warning("workspace not swept", extra={"job_id": job.job_id}, exc_info=True)


def workspace_keys(job: Job, ledger: Ledger, config: EngineConfig) -> list[str]:
    """Keys, in its workspace, of the parts and staged copies that an ended job needs no more. Raises StorageError."""
    kept = set()
    if config.keep_failed_parts and job.options["output_format"] == "xlsx":
        outcomes = (state.outcome for state in ledger.chunk_states(job.job_id))
        kept = {outcome.failed_part.key for outcome in outcomes if outcome and outcome.failed_part}
    workspace = open_storage(job.workspace_url, config)
    keys = [info.key for info in workspace.list(PartKeys.job_prefix(job.job_id)) if info.key not in kept]
    return [*keys, *(info.key for info in workspace.list(staged_prefix(job.job_id)))]


def remove_unprocessed_file(job: Job, config: EngineConfig) -> None:
    """Remove the file that an earlier end of the job has left, as all rows have an outcome now."""
    if job.result_files.unprocessed_url is None:
        return
    key = result_key(job, "unprocessed", job.options["output_format"])
    try:
        open_storage(job.output_url, config).delete([key])
    except StorageError:
        logger.warning("unprocessed file not removed", extra={"job_id": job.job_id}, exc_info=True)


def result_key(job: Job, kind: ResultKind | Literal["unprocessed"], output_format: str) -> str:
    """The name of a result file: that of the source, then `.success`, `.failed` or `.unprocessed`."""
    name = PurePosixPath(job.source.url.rstrip("/")).name
    stem = name.rpartition(".")[0] or name
    return f"{stem}.{kind}.{output_format}"

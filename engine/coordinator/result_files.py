"""The parts of a job → its success and its failed file, and what is swept afterwards."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from engine import failpoints
from engine.config import EngineConfig
from engine.coordinator.drafts import ResultDrafts
from engine.coordinator.parts import parts_by_chunk, result_header, result_key
from engine.coordinator.protocols import Executor
from engine.errors import StorageError
from engine.ledger import Ledger
from engine.model import Job, ResultFiles
from engine.options import ImportOptions
from engine.results import KINDS, PartKeys, ResultKind, merge_csv
from engine.staging import staged_prefix
from engine.storage import open_storage

logger = logging.getLogger(__name__)

#: A failed file up to this size is made while the success file is: both together hold little more than the one.
_MOST_BYTES_BESIDE = 8 * 1024 * 1024


def make_result_files(
    job: Job, ledger: Ledger, config: EngineConfig, executor: Executor | None, drafts: ResultDrafts | None = None
) -> ResultFiles:
    """Merge the parts into the two result files, all or nothing each; a repeat makes the same files.

    Args:
        drafts: what has been joined already.
    """
    if not config.enable_result_files:
        return ResultFiles()
    if ImportOptions.from_mapping(job.options).output_format == "xlsx":
        # Few processes ever make an Excel file; the others need not load the library.
        from engine.coordinator.excel_results import make_excel_files

        return make_excel_files(job, ledger, config, executor)
    output, begun = open_storage(job.output_url, config), drafts.take() if drafts is not None else {}
    numbered = {kind: [(index, part) for index, part, _ in parts_by_chunk(job, ledger, kind)] for kind in KINDS}

    def make(kind: ResultKind) -> str:
        key, header = result_key(job, kind, "csv"), result_header(job, kind, config)
        parts = [part for _, part in numbered[kind]]
        pieces = parts
        if output.is_remote:
            from engine.coordinator.bundling import in_fewer_pieces

            pieces = in_fewer_pieces(job, kind, output, numbered[kind])
        try:
            merge_csv(output, key, header, pieces, draft=begun.get(kind))
        except StorageError as error:
            if error.transient or pieces == parts:
                raise
            logger.warning("bundles not used", extra={"job_id": job.job_id, "error_code": error.code}, exc_info=True)
            merge_csv(output, key, header, parts)
        return output.url_of(key)

    with ThreadPoolExecutor(1, thread_name_prefix="failed-file") as beside:
        # What S3 takes for the one is mostly the wait for its answers.
        is_small = sum(part.size_bytes for _, part in numbered["failed"]) <= _MOST_BYTES_BESIDE
        failed = beside.submit(make, "failed") if output.is_remote and is_small else None
        success = make("success")
        failpoints.hit("finish.success_file")
        return ResultFiles(success_url=success, failed_url=failed.result() if failed is not None else make("failed"))


def sweep(job: Job, ledger: Ledger, config: EngineConfig) -> None:
    """Remove parts and staged copies of a job that has ended; what remains costs room only."""
    try:
        open_storage(job.workspace_url, config).delete(workspace_keys(job, ledger, config))
    except StorageError:
        logger.warning("workspace not swept", extra={"job_id": job.job_id}, exc_info=True)


def workspace_keys(job: Job, ledger: Ledger, config: EngineConfig) -> list[str]:
    """Keys, in its workspace, of the parts and staged copies that an ended job needs no more. Raises StorageError."""
    kept = set()
    if config.keep_failed_parts and job.options.get("output_format") == "xlsx":
        outcomes = (state.outcome for state in ledger.chunk_states(job.job_id))
        kept = {outcome.failed_part.key for outcome in outcomes if outcome and outcome.failed_part}
    workspace = open_storage(job.workspace_url, config)
    keys = [info.key for info in workspace.list(PartKeys.job_prefix(job.job_id)) if info.key not in kept]
    return [*keys, *(info.key for info in workspace.list(staged_prefix(job.job_id)))]


def remove_unprocessed_file(job: Job, config: EngineConfig) -> None:
    """Remove the file that an earlier end of the job has left, as all rows have an outcome now."""
    if job.result_files.unprocessed_url is None:
        return
    key = result_key(job, "unprocessed", job.options.get("output_format", "csv"))
    try:
        open_storage(job.output_url, config).delete([key])
    except StorageError:
        logger.warning("unprocessed file not removed", extra={"job_id": job.job_id}, exc_info=True)

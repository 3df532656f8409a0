"""The refused rows of a job as a source of their own, so that they alone can be run again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from engine.config import EngineConfig
from engine.coordinator.parts import parts_of_job, result_header, result_key
from engine.errors import ObjectMissingError, StatusTransitionError
from engine.ledger import Ledger
from engine.model import Job
from engine.options import KNOWN, ImportOptions
from engine.results import encode_lines, plain_line, unescape_formula
from engine.results.records import read_records
from engine.storage import Storage, open_storage

#: Bytes read at a time.
_BLOCK_BYTES = 1024 * 1024
#: Rows written at a time.
_SLICE_ROWS = 2_000
#: Options that say how rows are run and results written; how a source is read is another thing for one that we write.
_RUNNING = (
    "batch_size",
    "count_total_first",
    "output_format",
    "create_result_file_records",
    "handler_path",
    "chunk_size",
    "decimal",
    "result_header",
    "max_errors",
    "max_error_rate",
)


def write_refused_rows(job: Job, ledger: Ledger, config: EngineConfig, storage: Storage, key: str) -> int:
    """Write the rows that an ended job refused as a CSV under the source's own column names; returns how many.

    They are in input order, without the cell that says why. All or nothing, in bounded memory; a repeat
    writes the same object. A record that was broken is a row of its text from now on.

    Raises:
        StatusTransitionError: the job has not ended, or refused no row.
        ObjectMissingError: its failed rows are not there any more.
    """
    _check_has_refused(job)
    escaped = config.escape_formulae and job.options["output_format"] == "csv"
    records, count = _refused_records(job, ledger, config), 0
    with storage.open_writer(key) as writer:
        if job.plan is not None and job.plan.header:
            writer.write(encode_lines([plain_line(list(job.plan.header))]))
        while rows := [record[:-1] for record in islice(records, _SLICE_ROWS)]:
            count += len(rows)
            if escaped:
                rows = [[unescape_formula(cell) for cell in row] for row in rows]
            writer.write(encode_lines([plain_line(row) for row in rows]))
    return count


def check_refused_rows(job: Job, ledger: Ledger, config: EngineConfig) -> None:
    """Let a job pass whose refused rows can be written, without reading them. Raises as `write_refused_rows`."""
    _check_has_refused(job)
    output = open_storage(job.output_url, config)
    if _is_in_parts(job):
        for part, _ in islice(parts_of_job(job, ledger, "failed"), 1):
            output.stat(part.key)
    else:
        output.stat(result_key(job, "failed", "csv"))


def _check_has_refused(job: Job) -> None:
    if not job.status.is_final or not job.counts.failure_count:
        what = "has refused no row" if job.status.is_final else f"is {job.status}"
        raise StatusTransitionError(f"Job {job.job_id} {what}: there is nothing to retry.", job_id=job.job_id)


def _is_in_parts(job: Job) -> bool:
    """Whether the failed file is one that is not read again, so that the parts are. Raises ObjectMissingError."""
    if job.result_files.failed_url is None:
        raise ObjectMissingError(f"Job {job.job_id} has no failed file to retry from.", job_id=job.job_id)
    return not job.result_files.failed_url.endswith(".csv")


def retry_options(job: Job) -> dict[str, Any]:
    """The job's own options, but for how its source is read."""
    has_header = job.plan is not None and bool(job.plan.header)
    kept = {name: value for name, value in job.options.items() if name in _RUNNING or name not in KNOWN}
    read = {
        "header_rows": int(has_header),
        "skip_rows": 0,
        "delimiter": ",",
        "quote_char": '"',
        "escape_char": "",
        "encoding": "utf-8",
        "added_columns": "keep",
    }
    return {**ImportOptions().for_handler(), **kept, **read}


def retry_name(name: str) -> str:
    """What the source of a retry is called: `people.csv` gives `people.retry.csv`."""
    stem = PurePosixPath(name).name
    return f"{stem.rpartition('.')[0] or stem}.retry.csv"


def _refused_records(job: Job, ledger: Ledger, config: EngineConfig) -> Iterator[list[str]]:
    """From the failed file, or where that is an Excel file from the parts, if these were kept."""
    output = open_storage(job.output_url, config)
    if _is_in_parts(job):
        for part, _ in parts_of_job(job, ledger, "failed"):
            yield from read_records(output.read_blocks(part.key, 0, part.size_bytes, block_bytes=_BLOCK_BYTES))
        return
    key = result_key(job, "failed", "csv")
    header = result_header(job, "failed", config)
    yield from read_records(output.read_blocks(key, len(header), output.stat(key).size_bytes, block_bytes=_BLOCK_BYTES))

"""The refused rows of a job, a page at a time, while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.utils import timezone

from django_integration.files.storage import engine_config
from django_integration.imports.models import ImportChunk, ImportJob
from django_integration.imports.result_records import engine_job
from engine.errors import ObjectMissingError
from engine.options import ImportOptions
from engine.results import header_cells, header_line
from engine.results.records import read_records
from engine.storage import Storage, open_storage

#: Bytes read at a time.
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RowError:
    """One refused row."""

    position: int
    """1-based among the refused rows, in input order."""
    row: list[str]
    import_error: str


def row_errors(job: ImportJob, offset: int, limit: int) -> list[RowError]:
    """The refused rows [offset, offset + limit) of the chunks that are through, in input order."""
    found: list[RowError] = []
    for chunk, skip, records in _chunks_from(job, offset):
        del chunk
        for record in islice(records, skip, skip + limit - len(found)):
            found.append(RowError(offset + len(found) + 1, record[:-1], record[-1]))
        if len(found) >= limit:
            break
    return found


def _chunks_from(job: ImportJob, offset: int) -> Iterator[tuple[ImportChunk, int, Iterator[list[str]]]]:
    """Each chunk with refused rows from the one with row `offset` on, how many to skip in it, and its records."""
    data = engine_job(job, now=timezone.now())
    # An Excel file cannot be entered midway: its parts are kept for that (`EngineConfig.keep_failed_parts`).
    # A job that was resumed still has the key of the file that its earlier end has left.
    is_merged = job.is_final and job.failed_key.endswith(".csv")
    storage = open_storage(data.output_url, engine_config())
    position, byte_start = 0, _header_bytes(job)
    chunks = job.chunks.filter(status=ImportChunk.Status.DONE, failure_count__gt=0).order_by("chunk_index")
    for chunk in chunks.iterator(chunk_size=1_000):
        size = chunk.failed_bytes or 0
        if position + chunk.failure_count > offset:
            skip = max(0, offset - position)
            if is_merged:
                # The merged file is the header and the parts, one behind the other.
                records = _records(storage, job.failed_key.rpartition("/")[2], byte_start, byte_start + size)
            else:
                below = data.workspace_url.removeprefix(data.output_url).strip("/")
                records = _records(storage, f"{below}/{chunk.failed_part}", 0, size)
            yield chunk, skip, records
        position += chunk.failure_count
        byte_start += size


def _records(storage: Storage, key: str, start: int, end: int) -> Iterator[list[str]]:
    try:
        yield from read_records(storage.read_blocks(key, start, end, block_bytes=_BLOCK_BYTES))
    except ObjectMissingError:
        return  # merged this very moment; the next request finds the file


def _header_bytes(job: ImportJob) -> int:
    plan = engine_job(job, now=timezone.now()).plan
    if plan is None:
        return 0
    options = ImportOptions.from_mapping(job.options)
    cells = header_cells(plan.header, plan.column_count, "failed", options.result_header)
    return len(header_line(cells, escape_formulae=engine_config().escape_formulae))

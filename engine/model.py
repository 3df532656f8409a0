"""The values that travel between the rooms. All are immutable; none does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from engine.status import ChunkStatus, Phase, Status, shown_phase

#: Who runs a job's chunks: the processes of one command, or whatever Celery workers know its ledger.
ExecutorName = Literal["local", "celery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The object that is imported, pinned to one version of it."""

    url: str
    """An absolute path, or `s3://bucket/key`."""
    size_bytes: int
    etag: str
    """Changes whenever the content may have changed; compared at every read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a CSV is written."""

    delimiter: str = ","
    """One ASCII character."""
    quote_char: str | None = '"'
    """One ASCII character; None where quoting is not used."""
    escape_char: str | None = None
    """One ASCII character that makes the quote, the delimiter, a line end or itself behind it a part of the cell;
    before any other character it is one of the text."""
    skip_initial_space: Literal["never", "quoted", "always"] = "never"
    """Whether blanks at the start of a cell are left out: "quoted" only those before an opening quote."""
    encoding: str = "utf-8"
    """A Python codec name. The byte order mark is not part of it: `Plan.data_start` is behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of whole records: the unit of dispatch, of retry, of counting once."""

    chunk_index: int
    """0-based, in input order."""
    byte_start: int
    byte_end: int
    """Half-open byte range of the readable source (`Plan.readable`)."""
    first_row_index: int
    """1-based row_index of its first data row."""
    row_count: int
    first_line_number: int = 1
    """1-based physical line of the source on which it starts, for messages."""
    irregular: bool = False
    """True where a record inside is broken, so that the exact splitter has to cut it."""
    crc32: int | None = None
    """Of the bytes that its reader gets, as they were when it was planned; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found by looking, and how sure that is."""

    confidence: Mapping[str, float] = field(default_factory=dict)
    """Name of an import option → from 0.0, a guess, to 1.0, certain or given."""
    line_end: str = ""
    """"LF", "CRLF", "CR", "mixed" or, where there is none, "": all are read."""
    decimal: str | None = None
    """The decimal mark of the numbers that were seen; None where there are none. Cells stay as they are."""
    preamble: tuple[str, ...] = ()
    """The lines above the header that are no part of the table: in no result file, and shown."""
    advice: tuple[str, ...] = ()
    """What may be otherwise than it was read, and the option that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the first look at the source established; chunks are kept beside it."""

    dialect: Dialect
    header: tuple[str, ...]
    """Cells of the last header row; empty when there are no header rows."""
    column_count: int
    """Cells of the header, or of the first data row where there is no header."""
    data_start: int
    """Byte offset of the first data record in `readable`."""
    readable: Source
    """What chunks point into: the source itself, or its staged copy."""
    form: Literal["text", "arrow"] = "text"
    """Whether chunks are ranges of text, or of Arrow record batches (see `engine.arrow_form`)."""
    details: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """What else was found out, for people: the kind of source, its sheet … Nothing is decided by it."""
    detection: Detection = field(default_factory=Detection)
    added_column: str | None = None
    """The last cell of every row is left out: the source is a result file, and this its added column."""
    chunk_rows: int | None = None
    """Rows of a chunk, asked for or chosen: a repeated scan cuts by them again. None before the first scan."""
    chunk_bytes: int | None = None
    """So its bytes."""
    sizes_guessed: bool = False
    """Nothing was known of the handler when they were chosen; chunks may become larger when something is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by outcome."""

    success_count: int = 0
    failure_count: int = 0

    @property
    def processed_rows(self) -> int:
        """Rows that have an outcome."""
        return self.success_count + self.failure_count

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            success_count=self.success_count + other.success_count,
            failure_count=self.failure_count + other.failure_count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One chunk's success rows or failed rows, as stored: CSV records without a header line."""

    key: str
    size_bytes: int
    crc32: int | None = None
    """Of its bytes; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """What a chunk came to. `counts.processed_rows` is below the chunk's row_count only after a cancel."""

    counts: Counts
    success_part: Part | None
    """None where no row succeeded, or no result files are wanted."""
    failed_part: Part | None
    messages: Mapping[str, int] = field(default_factory=dict)
    """Why rows were refused, and how many for each; bounded (`engine.failure_messages`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right of one attempt to run and commit one chunk."""

    job_id: str
    chunk: Chunk
    attempt: int
    """1-based."""
    token: str
    """The random fence: a commit under any other token is refused."""
    deaths: int = 0
    """Processes that died on this chunk before this attempt."""
    suspect_row: int | None = None
    """The row_index that was running when a watched attempt died."""
    guilty_rows: tuple[int, ...] = ()
    """Rows that killed their process twice: they fail without being run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a free process is to do next: one chunk of a job, or its plan."""

    job_id: str
    chunk_index: int | None
    """None: the job waits to be planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkState:
    """A chunk as the ledger has it."""

    chunk: Chunk
    status: ChunkStatus
    attempt: int
    owner: str | None
    """Who holds the lease (`engine.ledger.owner`)."""
    seconds_since_change: float
    """Since the last message, claim or heartbeat."""
    outcome: ChunkOutcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """Where the result files are: paths or `s3://` addresses; None until made, or not wanted."""

    success_url: str | None = None
    failed_url: str | None = None
    unprocessed_url: str | None = None
    """The rows without an outcome; only of a job that was cancelled or failed after some rows were through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An import job as the ledger has it."""

    job_id: str
    source: Source
    handler_path: str
    handler_mode: Literal["row", "batch"] = "row"
    """What the request says the handler is called with; a handler that declares itself a batch handler is one."""
    options: Mapping[str, Any]
    """The request's options, known and custom ones, as given; see `ImportOptions`."""
    output_url: str
    """Folder or `s3://bucket/prefix` of the result files."""
    workspace_url: str
    """Folder or prefix of parts and staged copies, on the same storage as the output."""
    status: Status = Status.QUEUED
    phase: Phase | None = None
    plan: Plan | None = None
    total_rows: int | None = None
    """Exact; None until the scan has ended."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    paused: bool = False
    """Whether no chunk may begin until somebody says so."""
    counts: Counts = field(default_factory=Counts)
    """Final counts, written when the job ends; a running job's come from progress."""
    result_files: ResultFiles = field(default_factory=ResultFiles)
    forgiven: Counts = field(default_factory=Counts)
    """Counts at the last resumption, from which on the error budget counts."""
    error_code: str | None = None
    """Of a running job: it takes no more work, and will end as failed."""
    error_message: str | None = None
    retry_of: str | None = None
    """The job whose refused rows this one runs again."""
    executor: ExecutorName = "celery"
    """Whose it is: processes of the other one leave it alone, as they may not even find its handler."""
    owner: str | None = None
    """Who scans or merges at the moment."""
    seconds_since_heartbeat: float = 0.0

    @property
    def takes_work(self) -> bool:
        """Whether a chunk of it may begin now, once it is planned."""
        return (
            self.status is Status.RUNNING
            and self.phase in (Phase.SCANNING, Phase.PROCESSING)
            and not (self.cancel_requested or self.paused or self.error_code)
        )

    @property
    def shown_phase(self) -> str | None:
        """See `engine.status.shown_phase`."""
        return shown_phase(self.phase, paused=self.paused, cancel_requested=self.cancel_requested)

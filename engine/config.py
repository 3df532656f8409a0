"""How the engine is set up on this machine: services, limits, intervals. One job's wishes are in `options`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from engine.errors import OptionError, SourceTooLargeError

#: Signs of life that fit into a lease, so that some may get lost or come late.
_HEARTBEATS_PER_LEASE = 4
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Settings of a process. Every field can be given; `from_env` reads those named in `ENVIRONMENT`."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Broker and live counters of the distributed way."""
    s3_endpoint_url: str | None = None
    """None: Amazon's, or what boto3 finds in its own configuration."""
    s3_region: str = "us-east-1"
    s3_max_attempts: int = 8
    """Tries of one S3 request, backing off; the first contact of a run uses 2, to fail soon."""
    s3_connect_timeout_seconds: float = 5.0
    s3_read_timeout_seconds: float = 60.0
    ledger_url: str | None = None
    """`sqlite:///absolute/path`; None: a file beside the results."""
    temp_dir: str | None = None
    """Where XLSX files are put together; None: the system's."""
    enable_result_files: bool = True
    """Whether success and failure files are made at all."""
    keep_failed_parts: bool = False
    """Whether the failed rows of a job that ends with XLSX files stay readable as parts, too."""
    escape_formulae: bool = False
    """Whether cells of CSV results that a spreadsheet would run as formulas get a leading apostrophe."""
    window: int = 16
    """Chunks of one job in flight at most, so that a huge job leaves room for the others."""
    lease_seconds: float = 20.0
    """A claimed chunk without a heartbeat for this long is taken back."""
    heartbeat_seconds: float = 4.0
    """Between two signs of life, unless the lease is so short that it takes more of them."""
    resend_after_seconds: float = 15.0
    """A chunk sent this long ago and not yet claimed is sent again."""
    recovery_interval_seconds: float = 10.0
    progress_interval_seconds: float = 0.1
    """Between two updates of the live counters by one worker; batches that end sooner are gathered."""
    progress_ttl_seconds: int = 7 * 24 * 3600
    """How long Redis keeps the counters of a job that nobody touches."""
    scan_block_bytes: int = 8 * MIB
    max_chunk_bytes: int = 16 * MIB
    """A chunk ends here even when it has fewer rows than chunk_size: it is held in memory."""
    max_rows: int | None = None
    """A source with more data rows is refused; None: no limit."""
    excel_formats: str = "xlsx,xlsm,xlsb,xls,ods"
    """The kinds of workbooks that are read, separated by commas."""
    excel_memory_bytes: int = 2 * 1024 * MIB
    """What the process that parses a workbook may take; beyond it the workbook is refused."""
    excel_timeout_seconds: float = 900.0
    """So long may it take."""
    parquet_memory_bytes: int = 2 * 1024 * MIB
    """What the process that reads a Parquet file may take; beyond it the file is refused."""
    parquet_timeout_seconds: float = 3600.0
    """So long may it take."""
    max_record_bytes: int = 16 * MIB
    """A quote that is still open after this many bytes is taken for a stray one."""
    max_unpacked_bytes: int = 64 * 1024 * MIB
    """A compressed source that unpacks to more is refused; so much room its copy takes beside the results."""
    max_unpacked_ratio: int = 100
    """So is one that unpacks to more than this many times its size: a bomb. Small ones are let pass."""
    max_workbook_bytes: int = 2 * 1024 * MIB
    """All parts of a workbook together, unpacked."""
    max_archive_entries: int = 1000
    """Files in a ZIP archive, or parts of a workbook."""

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                variable = next((variable for variable, field in ENVIRONMENT.items() if field == name), name)
                raise OptionError(f"{variable} must be a number above 0, not {value!r}.", option=variable)

    @property
    def heartbeat_interval_seconds(self) -> float:
        """Seconds from one sign of life to the next."""
        return min(self.heartbeat_seconds, self.lease_seconds / _HEARTBEATS_PER_LEASE)

    def check_rows(self, rows: int, source: str) -> None:
        """Refuse a source that has so many data rows, if that is more than `max_rows`.

        Raises:
            SourceTooLargeError: it is.
        """
        if self.max_rows is not None and rows > self.max_rows:
            raise SourceTooLargeError(
                f"{source} has more than the {self.max_rows:,} rows that are allowed. Split it and import the pieces.",
                source=source,
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> EngineConfig:
        """Read the variables of `ENVIRONMENT`; overrides that are not None win.

        Raises:
            OptionError: a variable holds something other than a number above 0 where one is needed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        types = {f.name: f.type for f in fields(cls)}
        for variable, name in ENVIRONMENT.items():
            text = environ.get(variable)
            if text:
                try:
                    kind = str(types[name])
                    values[name] = int(text) if kind == "int" else float(text) if kind == "float" else text
                except ValueError as error:
                    raise OptionError(f"{variable} must be a number, not {text!r}.", option=variable) from error
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)


#: Environment variable → field. Credentials of S3 are boto3's own affair (AWS_ACCESS_KEY_ID …).
ENVIRONMENT: Mapping[str, str] = {
    "REDIS_URL": "redis_url",
    "S3_ENDPOINT_URL": "s3_endpoint_url",
    "AWS_DEFAULT_REGION": "s3_region",
    "ROWMILL_LEDGER": "ledger_url",
    "ROWMILL_TEMP_DIR": "temp_dir",
    "ROWMILL_WINDOW": "window",
    "ROWMILL_LEASE_SECONDS": "lease_seconds",
    "ROWMILL_RECOVERY_SECONDS": "recovery_interval_seconds",
    "ROWMILL_RESEND_SECONDS": "resend_after_seconds",
}

#: Fields of which zero, less, or no number at all makes no sense: a window of 0 would never send a chunk.
_ABOVE_ZERO = (
    "s3_max_attempts",
    "s3_connect_timeout_seconds",
    "s3_read_timeout_seconds",
    "window",
    "lease_seconds",
    "heartbeat_seconds",
    "resend_after_seconds",
    "recovery_interval_seconds",
    "progress_ttl_seconds",
    "scan_block_bytes",
    "max_chunk_bytes",
    "excel_memory_bytes",
    "excel_timeout_seconds",
    "parquet_memory_bytes",
    "parquet_timeout_seconds",
    "max_record_bytes",
    "max_unpacked_bytes",
    "max_unpacked_ratio",
    "max_workbook_bytes",
    "max_archive_entries",
)

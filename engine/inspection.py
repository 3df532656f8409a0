"""The Python API of reading: what a source looks like, and its rows, without a job."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from engine.config import EngineConfig
from engine.model import Chunk, Detection, Plan
from engine.options import ImportOptions
from engine.readers import BrokenRow
from engine.storage import open_location, open_storage
from engine.table import Look, TablePlanner, pin_source, read_chunk

#: Rows shown by `inspect`.
SAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `inspect` found out about a source."""

    source: str
    size_bytes: int
    encoding: str
    has_byte_order_mark: bool
    delimiter: str
    quote_char: str | None
    confidence: float
    """Share of the sampled records that have the usual number of cells."""
    header: list[str]
    column_count: int
    total_rows: int
    chunk_count: int
    """Chunks that a run with these options would have."""
    broken_rows: int | None
    """None where it takes reading the rows to tell."""
    rows: list[list[str]]
    """The first rows."""
    details: dict[str, str | int | float | bool] = field(default_factory=dict)
    """What else was found out: the kind of a source that is no plain text, and of a workbook its sheet."""
    escape_char: str | None = None
    skip_initial_space: str = "never"
    """As in `Dialect`."""
    added_column: str | None = None
    """The last column, which is left out as one that a result file added."""
    detection: Detection = field(default_factory=Detection)
    """What was found by looking, and how sure that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the start of a source shows."""

    encoding: str
    delimiter: str
    quote_char: str | None
    confidence: float
    """As in `Inspection`."""
    header: list[str]
    column_count: int
    rows: list[list[str]]
    details: dict[str, str | int | float | bool] = field(default_factory=dict)
    """As in `Inspection`."""
    escape_char: str | None = None
    skip_initial_space: str = "never"
    added_column: str | None = None
    detection: Detection = field(default_factory=Detection)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return asdict(self)


def preview(
    source: str | os.PathLike[str], *, rows: int = SAMPLE_ROWS, config: EngineConfig | None = None, **options: Any
) -> Preview:
    """Look at the start of a source only, however large it is.

    Raises:
        SourceError: it cannot be read as a table.
        OptionError: an option is wrong.
    """
    with _Table(source, {**options, "count_total_first": False}, config, start_only=True) as table:
        plan, look = table.plan, table.look
        return Preview(
            encoding=look.source_encoding,
            delimiter=plan.dialect.delimiter,
            quote_char=plan.dialect.quote_char,
            confidence=look.confidence,
            header=list(plan.header),
            column_count=plan.column_count,
            rows=_shown(table.rows(), rows),
            details=dict(plan.details),
            **_dialect_facts(plan),
        )


def inspect(
    source: str | os.PathLike[str],
    *,
    config: EngineConfig | None = None,
    options: Mapping[str, Any] | None = None,
    **more_options: Any,
) -> Inspection:
    """Look at a source as a run would, without running anything.

    Args:
        options: the import options, as `run` takes them.
        more_options: the same, as keyword arguments.

    Raises:
        SourceError: it cannot be read as a table.
        OptionError: an option is wrong.
    """
    with _Table(source, {**(options or {}), **more_options}, config) as table:
        table.scan()
        rows = _shown(table.rows(), SAMPLE_ROWS)
        plan, look = table.plan, table.look
        is_transcoded = look.source_encoding != look.plan.dialect.encoding
        return Inspection(
            source=table.source.url,
            size_bytes=table.source.size_bytes,
            encoding=look.source_encoding if is_transcoded else plan.dialect.encoding,
            has_byte_order_mark=look.mark_bytes > 0,
            delimiter=plan.dialect.delimiter,
            quote_char=plan.dialect.quote_char,
            confidence=look.confidence,
            header=list(plan.header),
            column_count=plan.column_count,
            total_rows=table.total_rows,
            chunk_count=len(table.chunks or ()),
            broken_rows=None,
            rows=rows,
            details=dict(plan.details),
            **_dialect_facts(plan),
        )


def read_rows(
    source: str | os.PathLike[str], header_rows: int = 1, *, config: EngineConfig | None = None, **options: Any
) -> Iterator[list[str]]:
    """Yield the rows of a source exactly as a handler would get them; no process or server is started.

    Rows that no handler would get, because their record is broken, are left out.

    Args:
        header_rows: records before the data, which are left out; with 0 every record is a row.
        options: the import options.

    Raises:
        SourceError: it cannot be read as a table.
        OptionError: an option is wrong.
    """
    with _Table(source, {**options, "header_rows": header_rows}, config) as table:
        table.scan()
        for row in table.rows():
            if not isinstance(row, BrokenRow):
                yield row


class _Table:
    """A source read in this process, its staged copy, if any, in a temporary folder."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        options: dict[str, Any],
        config: EngineConfig | None,
        *,
        start_only: bool = False,
    ) -> None:
        self._start_only = start_only
        self._options = ImportOptions.from_mapping(options)
        self._config = config or EngineConfig.from_env()
        text = os.fspath(source)
        self._source_url = text if "://" in text else os.path.abspath(text)

    def __enter__(self) -> _Table:
        self._folder = tempfile.TemporaryDirectory(prefix="rowmill-", dir=self._config.temp_dir)
        try:
            self.source = pin_source(self._source_url, self._config)
            self._planner = TablePlanner(
                self.source,
                self._options,
                self._config,
                workspace=lambda: open_storage(self._folder.name, self._config),
                job_id="read",
                start_only=self._start_only,
            )
            self.look: Look = self._planner.look()
            self.plan: Plan = self.look.plan
            self.chunks: list[Chunk] | None = None
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def scan(self) -> None:
        """Find all chunks first, and by them the encoding that the whole source speaks for."""
        self.chunks = [chunk for chunks in self._planner.chunks(self.plan) for chunk in chunks]
        self.plan = self._planner.settle_encoding(self.plan)

    @property
    def total_rows(self) -> int:
        """Data rows; known after `scan`."""
        return self._planner.total_rows

    def rows(self) -> Iterator[list[str] | BrokenRow]:
        """The rows in order, chunk by chunk; before `scan` as far as the source has been read."""
        storage, key = open_location(self.plan.readable.url, self._config)
        groups = [self.chunks] if self.chunks is not None else self._planner.chunks(self.plan)
        for chunks in groups:
            for chunk in chunks:
                yield from read_chunk(storage, key, self.plan, chunk, self._config)


def _dialect_facts(plan: Plan) -> dict[str, Any]:
    return {
        "escape_char": plan.dialect.escape_char,
        "skip_initial_space": plan.dialect.skip_initial_space,
        "added_column": plan.added_column,
        "detection": plan.detection,
    }


def _shown(rows: Iterator[list[str] | BrokenRow], count: int) -> list[list[str]]:
    return [row.cells if isinstance(row, BrokenRow) else row for row in islice(rows, count)]

"""A workbook staged as a table: looked through, its sheet chosen, parsed once, written as batches."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, Protocol

import pyarrow as pa

from engine.config import EngineConfig
from engine.errors import OptionError, SourceChangedError
from engine.model import Source
from engine.options import ImportOptions
from engine.staging.arrow import StagedTable, stage_as_arrow
from engine.staging.excel.child import head_from_schema
from engine.staging.excel.layout import Layout
from engine.staging.excel.marks import CellKinds
from engine.staging.excel.ooxml import Ooxml, TablePart, UnusualWorkbookError
from engine.staging.excel.process import Feed, parsing
from engine.staging.excel.sheet import Request, SheetReader
from engine.staging.excel.target import Area, SheetName, choose_sheet
from engine.storage import Storage, open_location

#: A workbook up to this size is parsed in this process, if its parts are small, too, and no library has to read it.
MAX_SMALL_BYTES = 512 * 1024
#: Bytes of all parts of a small workbook.
_MAX_SMALL_UNPACKED_BYTES = 8 * 1024 * 1024
_MAX_SHOWN_NAMES = 50


class WorkbookCheck(Protocol):
    """Looks a workbook through before, or while, it is parsed; see `engine.readers.check_workbook`."""

    def __call__(
        self, file: BinaryIO, *, watch: Callable[[str, bytes], None] | None, first: Sequence[str] = ()
    ) -> None:
        """Show `watch` every part, inflated, those named first; raise SourceError for what must not be parsed."""


def stage_workbook(
    source: Source,
    options: ImportOptions,
    config: EngineConfig,
    target: Storage,
    target_key: str,
    *,
    kind: str,
    chunk_size: int,
    check: WorkbookCheck,
    checkpoint: Callable[[], None] = lambda: None,
) -> StagedTable:
    """Stage the wanted sheet of a workbook.

    Memory of this process is that of one batch; the parser's is `config.excel_memory_bytes` at most.

    Args:
        kind: "xlsx", "xlsm", "xlsb", "xls" or "ods".
        check: looks through the open file for what must not be parsed.
        checkpoint: called several times a second; what it raises ends the staging.

    Raises:
        SourceError: the workbook is damaged, protected, too large, changed, or empty.
        OptionError: there is no such sheet, table or range.
        OutputNotWritableError: the target refuses writes.
    """
    with _local_file(source, config, checkpoint) as path, open(path, "rb") as file:
        book = _open_parts(file, kind)
        request, names = _request(book, path, source.url, kind, options)
        limits = {"chunk_size": chunk_size, "max_chunk_bytes": config.max_chunk_bytes}

        strings, sheet_part = _parts_to_read(book, request)

        def feed_parts(feed: Feed) -> None:
            def watch(part: str, block: bytes) -> None:
                checkpoint()
                if part in (sheet_part, strings):
                    feed(block, is_strings=part == strings)

            check(file, watch=watch, first=[part for part in (strings, sheet_part) if part is not None])

        def stage(
            batches: Iterator[pa.RecordBatch], column_count: int, sheet: str, layout: Layout, first_row: int
        ) -> StagedTable:
            config.check_rows(layout.end_row - layout.first_row, source.url)
            staged = stage_as_arrow(
                batches,
                column_count,
                target,
                target_key,
                first_line_number=first_row + layout.first_row + 1,
                **limits,
            )
            details: dict[str, str | int | float | bool] = {
                "kind": kind,
                "sheet": sheet,
                "header_row" if layout.header_records else "first_row": first_row + layout.header_row + 1,
            }
            if names:
                details["sheets"] = ", ".join(names[:_MAX_SHOWN_NAMES])
            return replace(staged, header_records=layout.header_records, details=details)

        table = None
        if request.kinds is not None and _is_small(file, path):
            reader = SheetReader(request, in_threads=False)
            feed_parts(reader.feed)
            table = reader.table_of_parts()
        if table is not None:
            width = table.layout.end_column - table.layout.first_column
            staged = stage(table.batches(), width, table.sheet, table.layout, table.first_row)
        else:
            with parsing(request, feed_parts, config, checkpoint) as stream:
                sheet, layout, first_row = head_from_schema(stream.schema)
                staged = stage(iter(stream), len(stream.schema) - 1, sheet, layout, first_row)
        _check_unchanged(source, config)
    return staged


@contextmanager
def _local_file(source: Source, config: EngineConfig, checkpoint: Callable[[], None]) -> Iterator[str]:
    """The path of the source, or of a copy of the pinned version of it for as long as the context lasts."""
    if "://" not in source.url:
        yield source.url
        return
    storage, key = open_location(source.url, config)
    with tempfile.NamedTemporaryFile(prefix="rowmill-", suffix=".workbook", dir=config.temp_dir) as file:
        for block in storage.read_blocks(
            key, 0, source.size_bytes, block_bytes=config.scan_block_bytes, etag=source.etag
        ):
            checkpoint()
            file.write(block)
        file.flush()
        yield file.name


def _check_unchanged(source: Source, config: EngineConfig) -> None:
    """A copy was read as pinned; a local file may have been replaced while a library read it."""
    if "://" in source.url:
        return
    storage, key = open_location(source.url, config)
    if storage.stat(key).etag != source.etag:
        raise SourceChangedError(f"{source.url} was changed while it was read. Import it anew.", source=source.url)


def _is_small(file: BinaryIO, path: str) -> bool:
    """Whether a workbook whose parts were found is read sooner than a process for it has started."""
    if os.path.getsize(path) > MAX_SMALL_BYTES:
        return False
    from zipfile import ZipFile

    return sum(part.file_size for part in ZipFile(file).infolist()) <= _MAX_SMALL_UNPACKED_BYTES


def _open_parts(file: BinaryIO, kind: str) -> Ooxml | None:
    if kind not in ("xlsx", "xlsm"):
        return None
    try:
        return Ooxml(file)
    except UnusualWorkbookError:
        return None


def _request(
    book: Ooxml | None, path: str, source: str, kind: str, options: ImportOptions
) -> tuple[Request, list[str]]:
    """The request with its sheet found, if the parts say it, and the names of all sheets."""
    sheet: str | int | None = options.sheet
    area: Area | None = None
    if options.table is not None:
        found = _find_table(book, options.table, source)
        sheet = found[0] or sheet
        area = found[1]
    is_named = False
    names: list[str] = []
    if book is not None:
        names = [part.name for part in book.worksheets]
        parts = {part.name: part for part in book.worksheets}
        sheet = choose_sheet(
            [SheetName(name=part.name, is_visible=part.is_visible) for part in book.worksheets],
            sheet,
            lambda name: book.has_cells(parts[name]),
            source=source,
        )
        is_named = True
    request = Request(
        path=path,
        source=source,
        sheet=sheet,
        is_named=is_named,
        area=area,
        skip_rows=options.skip_rows,
        header_rows=options.header_rows,
        kind=kind,
        kinds=_cell_kinds(book),
    )
    return request, names


def _find_table(book: Ooxml | None, wanted: str, source: str) -> tuple[str | None, Area | None]:
    """Sheet and rectangle of a table, a named range, or a range as `A3:J500` or `Sheet1!A3:J500`."""
    sheet_name, _, text = wanted.rpartition("!")
    area = Area.parse(text)
    if area is not None:
        return sheet_name.removeprefix("'").removesuffix("'").replace("''", "'") or None, area
    tables = _tables(book)
    for table in tables:
        area = Area.parse(table.area)
        if table.name.casefold() == wanted.casefold() and area is not None:
            return table.sheet, _without_totals(area, table)
    shown = ", ".join(f'"{table.name}"' for table in tables) or "it has none"
    raise OptionError(
        f"{source} has no table or named range {wanted!r} (there are: {shown}). "
        "Name one of them, or a range such as A3:J500 or Sheet1!A3:J500.",
        option="table",
        tables=[table.name for table in tables],
    )


def _without_totals(area: Area, table: TablePart) -> Area:
    return replace(area, end_row=area.end_row - table.total_rows) if area.end_row is not None else area


def _parts_to_read(book: Ooxml | None, request: Request) -> tuple[str | None, str | None]:
    """The names of the parts of the shared strings and of the sheet, where it is read from them."""
    if book is None or request.kinds is None:
        return None, None
    sheet = next(part.part for part in book.worksheets if part.name == request.sheet)
    return book.strings_part(), sheet


def _cell_kinds(book: Ooxml | None) -> CellKinds | None:
    try:
        return book.cell_kinds() if book is not None else None
    except UnusualWorkbookError:
        return None


def _tables(book: Ooxml | None) -> list[TablePart]:
    try:
        return book.tables() if book is not None else []
    except UnusualWorkbookError:
        return []

"""The process that parses one workbook: a request and the parts of its sheet on stdin, an Arrow stream on stdout."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import pyarrow as pa

from engine.arrow_form import schema_of
from engine.staging.excel.layout import Layout
from engine.staging.excel.marks import CellKinds
from engine.staging.excel.number_formats import NumberFormat
from engine.staging.excel.sheet import Request, SheetReader, SheetTable
from engine.staging.excel.target import Area
from engine.staging.limited_process import run_limited

#: Key of the stream's schema under which the table's place stands.
HEAD_KEY = b"rowmill"
#: Whether what follows is of the shared strings or of the sheet, and how many bytes.
_FRAME = struct.Struct("<?I")
_READ_BYTES = 64 * 1024


def write(request: dict[str, Any]) -> None:
    """Parse the sheet that `request_of` asks for, and write it."""
    write_table(_read(_request_from(request), sys.stdin.buffer), sys.stdout.buffer)


def _read(request: Request, stdin: BinaryIO) -> SheetTable:
    """The table; nothing is given away before the end of the input says that the workbook was found harmless."""
    reader = SheetReader(request, in_threads=True)
    if request.kinds is None:
        table = reader.table()
        while stdin.read(_READ_BYTES):
            pass
        return table
    while head := stdin.read(_FRAME.size):
        is_strings, size = _FRAME.unpack(head)
        reader.feed(stdin.read(size), is_strings=is_strings)
    return reader.table()


def frame_of(block: bytes, *, is_strings: bool) -> bytes:
    """What announces so many bytes of one of the parts."""
    return _FRAME.pack(is_strings, len(block))


def write_table(table: SheetTable, sink: BinaryIO) -> None:
    """Write the batches as a stream whose schema also holds sheet and layout."""
    head = json.dumps({"sheet": table.sheet, "layout": asdict(table.layout), "first_row": table.first_row})
    schema = schema_of(table.layout.end_column - table.layout.first_column).with_metadata({HEAD_KEY: head})
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in table.batches():
            writer.write_batch(batch)


def head_from_schema(schema: pa.Schema) -> tuple[str, Layout, int]:
    """Sheet, layout and first row, as `write_table` wrote them."""
    head = json.loads(schema.metadata[HEAD_KEY])
    records = tuple(tuple(record) for record in head["layout"].pop("header_records"))
    return head["sheet"], Layout(header_records=records, **head["layout"]), head["first_row"]


def request_of(request: Request) -> dict[str, Any]:
    """The request as JSON has it."""
    return asdict(request)


def _request_from(values: dict[str, Any]) -> Request:
    area, kinds = values.pop("area"), values.pop("kinds")
    if kinds is not None:
        formats = tuple((style, NumberFormat(**format_)) for style, format_ in kinds.pop("formats"))
        kinds = CellKinds(formats=formats, **kinds)
    return Request(area=Area(**area) if area else None, kinds=kinds, **values)


if __name__ == "__main__":
    run_limited(write)

"""The process that parses one workbook: a request and the facts on stdin, an Arrow stream on stdout."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import pyarrow as pa

from engine.arrow_form import schema_of
from engine.errors import RowmillError
from engine.staging.excel.facts import Facts
from engine.staging.excel.layout import Layout
from engine.staging.excel.sheet import Request, SheetTable, read_sheet
from engine.staging.excel.target import Area

#: Exit code after an error that is told, as JSON, on stderr.
TOLD = 3
#: Key of the stream's schema under which the table's place stands.
HEAD_KEY = b"rowmill"


def main() -> None:
    """Read the request, parse, write; the exit code is 0 or `TOLD`."""
    request, memory_bytes = request_from_json(sys.stdin.buffer.readline())
    limit_memory(memory_bytes)
    try:
        table = read_sheet(request, lambda: facts_from_json(sys.stdin.buffer.readline()))
    except RowmillError as error:
        json.dump({"code": error.code, "message": error.message, "facts": error.facts}, sys.stderr)
        sys.stderr.flush()
        sys.exit(TOLD)
    write_table(table, sys.stdout.buffer)
    sys.stdout.flush()


def limit_memory(memory_bytes: int) -> None:
    """Let this process take so many bytes more than it has now, where the system can limit it."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, mapped + memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):  # no such limit here: the time limit remains
        return


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


def request_json(request: Request, memory_bytes: int) -> bytes:
    """The request as a line."""
    return json.dumps([asdict(request), memory_bytes]).encode() + b"\n"


def request_from_json(line: bytes) -> tuple[Request, int]:
    """The request of a line, and the memory limit."""
    values, memory_bytes = json.loads(line)
    area = values.pop("area")
    return Request(area=Area(**area) if area else None, **values), memory_bytes


def facts_json(facts: Facts) -> bytes:
    """The facts as a line."""
    values: dict[str, Any] = asdict(facts)
    return json.dumps({**values, "midnights": sorted(facts.midnights)}).encode() + b"\n"


def facts_from_json(line: bytes) -> Facts:
    """The facts of a line."""
    values = json.loads(line)
    midnights = frozenset((row, column) for row, column in values.pop("midnights"))
    return Facts(midnights=midnights, **values)


if __name__ == "__main__":
    main()

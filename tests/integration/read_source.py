"""Reads one source in a process of its own and prints, as JSON, what came of it and what it cost."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import engine
from engine.errors import RowmillError
from engine.readers import BrokenRow
from tests.reading import read


def main(what: str, path: str) -> None:
    """`what`: "inspect" as users do, or "rows" to count the good and the broken ones."""
    found: dict[str, Any] = {}
    try:
        if what == "inspect":
            found["rows"] = engine.inspect(path).total_rows
        else:
            rows = read(Path(path)).rows
            found["errors"] = [row.error for row in rows if isinstance(row, BrokenRow)]
            found["rows"] = len(rows)
    except RowmillError as error:
        found["code"], found["message"] = error.code, error.message
    # Not the highest memory that `resource` tells: that counts the process that started this one, too.
    status = Path("/proc/self/status").read_text()
    found["peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) / 1000
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["children_peak_mb"] = children.ru_maxrss / 1000
    found["seconds"] = time.process_time() + children.ru_utime + children.ru_stime
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

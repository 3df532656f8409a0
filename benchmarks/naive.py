"""What anyone writes first: csv.reader, the handler, csv.writer, one process. The yardstick of every ratio.

`python -m benchmarks.naive TABLE FOLDER [HANDLER]`
"""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path


def main(table: str, folder: str, handler_path: str = "benchmarks.people.check_email") -> None:
    """Write the rows of the table into two files of the folder."""
    module, _, name = handler_path.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    success, failed = Path(folder, "success.csv"), Path(folder, "failed.csv")
    with (
        open(table, newline="", encoding="utf-8") as source,
        success.open("w", newline="", encoding="utf-8") as good,
        failed.open("w", newline="", encoding="utf-8") as bad,
    ):
        reader, accepted, refused = csv.reader(source), csv.writer(good), csv.writer(bad)
        next(reader)
        counts = {"success_count": 0, "failure_count": 0}
        for row_index, row in enumerate(reader, 1):
            outcome = handler(row_index, row, "job", {})
            if outcome["ok"]:
                accepted.writerow(row)
                counts["success_count"] += 1
            else:
                refused.writerow([*row, outcome["error"]])
                counts["failure_count"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What anyone writes first: csv.reader, the handler, csv.writer, one process. The yardstick of every ratio.

`python -m benchmarks.naive TABLE FOLDER`
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from benchmarks.people import check_email


def main(table: str, folder: str) -> None:
    """Write the rows of the table into two files of the folder."""
    success, failed = Path(folder, "success.csv"), Path(folder, "failed.csv")
    with (
        open(table, newline="", encoding="utf-8") as source,
        success.open("w", newline="", encoding="utf-8") as good,
        failed.open("w", newline="", encoding="utf-8") as bad,
    ):
        reader, accepted, refused = csv.reader(source), csv.writer(good), csv.writer(bad)
        next(reader)
        for row_index, row in enumerate(reader, 1):
            outcome = check_email(row_index, row, "job", {})
            if outcome["ok"]:
                accepted.writerow(row)
            else:
                refused.writerow([*row, outcome["error"]])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What became of every row: the database, the counters and the two files, each against the input."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.http_user import send
from tests.chaos import flights
from tests.chaos.stack import Stack


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures, and what is wrong with them."""

    lost: int
    duplicated: int
    violations: list[str]


def judge(stack: Stack, job_id: str, *, rows: int, refused: int, seen: list[dict[str, Any]], folder: Path) -> Verdict:
    """Compare everything with everything."""
    violations: list[str] = []

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            violations.append(f"{what}: {found!r}, not {wanted!r}")

    last = seen[-1]
    expect("status", (last["status"], last["error_message"]), ("succeeded", None))
    expect("counters", (last["success_count"], last["failure_count"]), (rows - refused, refused))
    with stack.database() as database:
        recount = database.execute(
            "SELECT sum(success_count)::bigint, sum(failure_count)::bigint FROM rowmill_imports_importchunk"
            " WHERE job_id = %s AND status = 'done'",
            [job_id],
        ).fetchone()
        expect("recount of the ledger", recount, (rows - refused, refused))
        written = database.execute(
            "SELECT count(*), count(DISTINCT row_index) FROM travel_flight WHERE import_job_id = %s", [job_id]
        ).fetchone()
        assert written is not None
        total, distinct = int(str(written[0])), int(str(written[1]))
        found = database.execute("SELECT row_index FROM travel_flight WHERE import_job_id = %s", [job_id])
        indexes = {int(str(row[0])) for row in found.fetchall()}
    accepted = {number for number, row in enumerate(flights.rows(rows), 1) if not flights.is_refused(row)}
    lost, duplicated = len(accepted - indexes), total - distinct
    expect("rows lost from the table", lost, 0)
    expect("rows twice in the table", duplicated, 0)
    expect("rows in the table that were refused", len(indexes - accepted), 0)
    above = [status["percentage"] for status in seen if (status["percentage"] or 0) > 100]
    expect("percentages above 100", above, [])
    for status in seen:
        if status["processed_rows"] > rows:
            violations.append(f"{status['processed_rows']:,} of {rows:,} rows were said to be processed")
    if last["status"] == "succeeded":
        violations += _compare_files(last["result_files"], rows, folder)
    return Verdict(lost, duplicated, violations)


def _compare_files(files: dict[str, Any], rows: int, folder: Path) -> list[str]:
    """Every input row is in exactly one file, in input order, with its cells as they were."""
    success, failed = (_records(files[kind]["url"], folder / f"{kind}.csv") for kind in ("success_file", "failed_file"))
    next(success)
    next(failed)
    for number, row in enumerate(flights.rows(rows), 1):
        name, records = ("failed", failed) if flights.is_refused(row) else ("success", success)
        found = next(records, None)
        if found is None or found[:-1] != row:
            return [f"the {name} file has {found} where row {number:,} should be: {row}"]
    more = [name for name, records in (("success", success), ("failed", failed)) if next(records, None) is not None]
    return [f"the {name} file has more rows than there are" for name in more]


def _records(url: str, path: Path) -> Iterator[list[str]]:
    path.write_bytes(send("GET", url).body)
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.reader(file)

"""Others at the same work: each row of a CSV through the same handler into a success and a failure CSV.

`python -m benchmarks.cases.peers PROGRAM TABLE FOLDER`. Each is written as its documentation suggests, and tuned once.
dask and pyspark leave folders of part files and join nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.people import HEADER, check_email

_BATCH_ROWS = 50_000
_BLOCK_BYTES = 16 * 1024 * 1024


def pandas(table: str, folder: str) -> tuple[int, int]:
    """Chunks of text columns, a loop over their rows, masks."""
    import pandas as pd

    counts = [0, 0]
    row_index = 1
    with (
        open(Path(folder, "success.csv"), "w", newline="", encoding="utf-8") as good,
        open(Path(folder, "failed.csv"), "w", newline="", encoding="utf-8") as bad,
    ):
        for frame in pd.read_csv(table, dtype=str, keep_default_na=False, chunksize=_BATCH_ROWS):
            outcomes = [
                check_email(number, row, "job", {}) for number, row in enumerate(frame.values.tolist(), row_index)
            ]
            is_good = pd.Series([outcome["ok"] for outcome in outcomes], index=frame.index)
            frame[is_good].to_csv(good, header=False, index=False)
            errors = [outcome["error"] for outcome in outcomes if not outcome["ok"]]
            frame[~is_good].assign(import_error=errors).to_csv(bad, header=False, index=False)
            counts[0] += len(frame) - len(errors)
            counts[1] += len(errors)
            row_index += len(frame)
    return counts[0], counts[1]


def duckdb(table: str, folder: str) -> tuple[int, int]:
    """DuckDB parses, Arrow batches go through the handler, pyarrow writes."""
    import duckdb as library
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    relation = library.read_csv(table, all_varchar=True, header=True, delimiter=",", quotechar='"', escapechar='"')
    batches = relation.to_arrow_reader(_BATCH_ROWS)
    schema = pa.schema([(name, pa.string()) for name in HEADER])
    failed_schema = schema.append(pa.field("import_error", pa.string()))
    counts = [0, 0]
    row_index = 1
    with (
        arrow_csv.CSVWriter(str(Path(folder, "success.csv")), schema) as good,
        arrow_csv.CSVWriter(str(Path(folder, "failed.csv")), failed_schema) as bad,
    ):
        for batch in batches:
            errors: list[str | None] = []
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            for number, row in enumerate(rows, row_index):
                outcome = check_email(number, row, "job", {})  # type: ignore[arg-type]
                errors.append(None if outcome["ok"] else outcome["error"])
            errors_array = pa.array(errors, pa.string())
            is_good = errors_array.is_null()
            good.write(batch.filter(is_good).cast(schema))
            marked = pa.Table.from_batches([batch]).append_column("import_error", errors_array)
            bad.write_table(marked.filter(errors_array.is_valid()).cast(failed_schema))
            counts[0] += is_good.true_count
            counts[1] += len(errors) - is_good.true_count
            row_index += len(errors)
    return counts[0], counts[1]


def dask(table: str, folder: str) -> tuple[int, int]:
    """A bag of byte ranges that end where records end, two processes, part files."""
    from dask import bag, config

    with config.set(scheduler="processes", num_workers=2):
        ranges = list(_ranges(table))
        pieces = bag.from_sequence([(table, folder, *each) for each in ranges], npartitions=len(ranges))
        counts = pieces.map(_dask_part).compute()
    return sum(good for good, _ in counts), sum(bad for _, bad in counts)


def _dask_part(piece: tuple[str, str, int, int]) -> tuple[int, int]:
    table, folder, start, end = piece
    counts = [0, 0]
    with open(table, "rb") as file:
        file.seek(start)
        text = io.StringIO(file.read(end - start).decode(), newline="")
    with (
        open(Path(folder, f"success-{start}.csv"), "w", newline="", encoding="utf-8") as good,
        open(Path(folder, f"failed-{start}.csv"), "w", newline="", encoding="utf-8") as bad,
    ):
        accepted, refused = csv.writer(good), csv.writer(bad)
        # Row indexes of the whole file are not known here.
        for row_index, row in enumerate(csv.reader(text), 1):
            outcome = check_email(row_index, row, "job", {})
            if outcome["ok"]:
                accepted.writerow(row)
                counts[0] += 1
            else:
                refused.writerow([*row, outcome["error"]])
                counts[1] += 1
    return counts[0], counts[1]


def _ranges(table: str) -> Iterator[tuple[int, int]]:
    """Byte ranges of whole records, by the parity of quotes; the header is left out."""
    with open(table, "rb") as file:
        start = position = len(file.readline())
        is_open = False
        while block := file.read(_BLOCK_BYTES):
            quotes = block.count(b'"')
            end = len(block)
            # Back to a newline behind which, and so before which, no quote is open.
            open_at_end = is_open ^ (quotes % 2 == 1)
            while (newline := block.rfind(b"\n", 0, end)) >= 0:
                open_at_newline = open_at_end ^ (block.count(b'"', newline) % 2 == 1)
                if not open_at_newline:
                    yield start, position + newline + 1
                    start = position + newline + 1
                    break
                end = newline
            is_open = open_at_end
            position += len(block)
        if start < position:
            yield start, position


def pyspark(table: str, folder: str) -> tuple[int, int]:
    """Spark on two threads of one machine, the handler over an RDD, folders of part files."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        frame = spark.read.csv(table, header=True, multiLine=True, quote='"', escape='"', inferSchema=False)
        handled = frame.rdd.zipWithIndex().map(_spark_row).persist()
        for name, wanted in (("success", True), ("failed", False)):
            chosen = handled.filter(lambda row, wanted=wanted: row[0] is wanted).map(lambda row: row[1])
            columns = HEADER if wanted else [*HEADER, "import_error"]
            chosen.toDF(columns).write.csv(str(Path(folder, name)), escape='"')
        refused = handled.filter(lambda row: not row[0]).count()
        return handled.count() - refused, refused
    finally:
        spark.stop()


def _spark_row(pair: Any) -> tuple[bool, list[str]]:
    row, number = pair
    cells = [cell or "" for cell in row]
    outcome = check_email(number + 1, cells, "job", {})
    return (True, cells) if outcome["ok"] else (False, [*cells, outcome["error"]])


_PROGRAMS: dict[str, Callable[[str, str], tuple[int, int]]] = {
    "pandas": pandas,
    "duckdb": duckdb,
    "dask": dask,
    "pyspark": pyspark,
}

if __name__ == "__main__":
    success_count, failure_count = _PROGRAMS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"success_count": success_count, "failure_count": failure_count}))

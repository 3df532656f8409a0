# ruff: noqa: ARG004 - the arguments are the contract
"""Handlers that tests name by path; worker processes import them. What they do is told by the options.

`effects`: a file to which every call appends its row_index: the oracle for lost and repeated rows.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine

Options = dict[str, Any]
Returned = dict[str, Any]


def record(row_index: int, options: Options) -> None:
    """Append to the file of effects, in one write that no other process's can mix with."""
    if "effects" in options:
        descriptor = os.open(options["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b"%d\n" % row_index)
        os.close(descriptor)


def once(mark: str) -> bool:
    """True the first time that any process asks for this mark (a path)."""
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def wait_for(path: str) -> None:
    """Until the file exists: events of other processes have no other form that survives their death."""
    while not os.path.exists(path):
        time.sleep(0.002)


def accept(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    record(row_index, options)
    return {"ok": True, "result": {"row": row_index}}


def by_cell(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Refuses rows with a cell that begins with "bad"."""
    record(row_index, options)
    for cell in row:
        if cell.startswith("bad"):
            return {"ok": False, "error": f"row {row_index}: {cell}"}
    return {"ok": True, "result": {"row": row_index, "cells": len(row)}}


def by_index(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Refuses the rows of `refused`, or every `refused_every`-th."""
    record(row_index, options)
    if row_index in options.get("refused", ()) or row_index % options.get("refused_every", 10**9) == 0:
        return {"ok": False, "error": f"refused, {row_index}"}
    return {"ok": True, "result": {"row": row_index}}


def exits(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Ends its process on the rows of `poison`."""
    if row_index in options["poison"]:
        os._exit(9)
    return accept(row_index, row, import_job_id, options)


def dies_once(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Kills its process the first time it comes to row `row`; `mark` remembers that."""
    if row_index == options["row"] and once(options["mark"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return accept(row_index, row, import_job_id, options)


def stops_once(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Stops its process the first time it comes to row `row`; `mark` remembers that."""
    accept(row_index, row, import_job_id, options)
    if row_index == options["row"] and once(options["mark"]):
        os.kill(os.getpid(), signal.SIGSTOP)
    return {"ok": True, "result": {"row": row_index}}


def waits(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """On row `row`, writes its process id to `reached`, and goes on when `gate` exists."""
    accept(row_index, row, import_job_id, options)
    if row_index == options["row"]:
        Path(f"{options['reached']}.new").write_text(str(os.getpid()))
        os.replace(f"{options['reached']}.new", options["reached"])
        wait_for(options["gate"])
    return {"ok": True, "result": {"row": row_index}}


def waits_at_gates(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """On the rows that `gates` names, makes the file `….reached`, and goes on when the gate exists."""
    accept(row_index, row, import_job_id, options)
    gate = options["gates"].get(str(row_index))
    if gate is not None:
        Path(f"{gate}.reached").touch()
        wait_for(gate)
    return {"ok": True, "result": {"row": row_index}}


def meets(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Accepts a row when all rows have come at the same time, each to another process; `marks` is a folder."""
    marks = Path(options["marks"])
    (marks / str(row_index)).touch()
    deadline = time.monotonic() + 20
    while len(list(marks.iterdir())) < options["rows"]:
        if time.monotonic() > deadline:
            return {"ok": False, "error": "nobody came"}
        time.sleep(0.002)
    return {"ok": True, "result": {"row": row_index}}


def takes_time(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Every 100 rows it takes `seconds`."""
    if row_index % 100 == 0:
        time.sleep(options["seconds"])
    return by_index(row_index, row, import_job_id, options)


def prints(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    print("a handler talks", row_index)
    return accept(row_index, row, import_job_id, options)


def is_interrupted(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """As if somebody had pressed Ctrl-C, of which a worker is to know nothing."""
    raise KeyboardInterrupt


def forks(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Once, leaves a child that outlives its process until `gate` exists, and kills its process."""
    if once(options["mark"]):
        if os.fork() == 0:
            wait_for(options["gate"])
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    return accept(row_index, row, import_job_id, options)


class Checks:
    """A handler may stand in a class, as a static method."""

    @staticmethod
    def accept(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
        return {"ok": True, "result": None}


Handler = Callable[[int, list[str], str, Options], Any]


def by_cell_in_batches(first_row_index: int, batch: Any, import_job_id: str, options: Options) -> Any:
    """As `by_cell`; a cell "crash" raises, and so does one in the row handler `by_cell_or_crash`."""
    errors: list[str | None] = []
    for row_index, cells in enumerate(batch.rows(), first_row_index):
        record(row_index, options)
        if "crash" in cells:
            raise ValueError("crash")
        bad = next((cell for cell in cells if cell.startswith("bad")), None)
        errors.append(bad and f"row {row_index}: {bad}")
    results = [{"row": first_row_index + i, "cells": batch.width} for i in range(batch.height)]
    return {"error": errors, "result": results}


def by_cell_in_columns(first_row_index: int, batch: Any, import_job_id: str, options: Options) -> Any:
    """As `by_cell_in_batches`, with no Python object per row."""
    import polars as pl

    if batch.select(pl.any_horizontal(pl.all() == "crash").any()).item():
        raise ValueError("crash")
    index = pl.int_range(first_row_index, first_row_index + batch.height, eager=True)
    bad = pl.coalesce(pl.when(pl.col(name).str.starts_with("bad")).then(pl.col(name)) for name in batch.columns)
    error = batch.select(pl.when(bad.is_not_null()).then(pl.format("row {}: {}", index, bad))).to_series()
    return {"error": error, "result": pl.DataFrame({"row": index}).with_columns(cells=pl.lit(batch.width))}


def by_cell_or_crash(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """As `by_cell`, but raises on a cell "crash"."""
    if "crash" in row:
        raise ValueError("crash")
    return by_cell(row_index, row, import_job_id, options)


@engine.batch_handler
def exits_in_batches(first_row_index: int, batch: Any, import_job_id: str, options: Options) -> Any:
    """Ends its process on the rows of `poison`."""
    for row_index in range(first_row_index, first_row_index + batch.height):
        if row_index in options["poison"]:
            os._exit(9)
        record(row_index, options)
    return [None] * batch.height


@engine.batch_handler
def refuses_batches_alike(first_row_index: int, batch: Any, import_job_id: str, options: Options) -> Any:
    """As `refuses_alike`."""
    found = [refuses_alike(0, [number], import_job_id, options) for number in batch["n"]]
    return [returned.get("error") for returned in found]


def refuses_alike(row_index: int, row: list[str], import_job_id: str, options: Options) -> Returned:
    """Refuses every second and every fourth row, for two reasons that are the same for all of them."""
    number = int(row[0])
    if number % 2:
        return {"ok": False, "error": "Email is required"}
    return {"ok": False, "error": "Name is required"} if number % 4 == 2 else {"ok": True}

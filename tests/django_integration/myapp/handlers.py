"""Handlers that tests name by path."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.db import close_old_connections, connection, connections, transaction

from django_integration.imports.models import ImportJob
from engine import not_atomic
from tests.django_integration.myapp.models import Carrier, SeenRow

Answer = dict[str, Any]
#: Seconds that a row waits for a test.
_PATIENCE_SECONDS = 60.0


def accept(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Every row is fine."""
    return {"ok": True, "result": {"row": row_index}}


def refuse_odd(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Every other row is fine."""
    return {"ok": True, "result": {}} if row_index % 2 == 0 else {"ok": False, "error": "odd"}


def write(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Writes a record for every row, then refuses those of `options["refused"]`."""
    SeenRow.objects.create(job=import_job_id, row_index=row_index)
    if row_index in options.get("refused", ()):
        return {"ok": False, "error": "refused after writing"}
    if row_index in options.get("raising", ()):
        raise ValueError("raised after writing")
    return {"ok": True, "result": {}}


def write_after_commit(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, by a hook of the transaction's, and sends no statement itself; every tenth hook raises then."""

    def after_commit() -> None:
        SeenRow.objects.create(job=import_job_id, row_index=row_index)
        if row_index % 10 == 0:
            raise ConnectionError("The mail server is away.")

    transaction.on_commit(after_commit)
    if row_index in options.get("refused", ()):
        return {"ok": False, "error": "refused after registering"}
    return {"ok": True, "result": {}}


def sleep_once(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, and sleeps the first time it comes to row `options["sleeps_on"]`."""
    mark = Path(options["mark"])
    if row_index == options["sleeps_on"] and not mark.exists():
        mark.touch()
        time.sleep(options["sleep_seconds"])
    return write(row_index, row, import_job_id, options)


def sleep_each_time(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Sleeps at the rows `options["sleeps_on"]`, and has nothing to do with the database."""
    if row_index in options["sleeps_on"]:
        time.sleep(options["sleep_seconds"])
    return {"ok": True, "result": {}}


def close_connections(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, and ends the connections as tasks do that have run for long."""
    answer = write(row_index, row, import_job_id, options)
    connection.close()
    close_old_connections()
    connections.close_all()
    return answer


def tell_the_cell(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Raises with the row in its message, as careless handlers do."""
    raise ValueError(f"cannot use {row}")


def write_or_die(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, and kills its own process the first time it comes to each row of `options["dies_on"]`."""
    answer = write(row_index, row, import_job_id, options)
    if _is_first_at(row_index, options["dies_on"], options):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def _is_first_at(row_index: int, rows: list[int], options: dict[str, Any]) -> bool:
    """Whether it is one of these rows, and met the first time, or `always`; the folder `marks` remembers."""
    mark = Path(options["marks"]) / str(row_index)
    is_first = row_index in rows and (bool(options.get("always")) or not mark.exists())
    if is_first:
        mark.touch()
    return is_first


def write_slowly(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, taking its time; rows from `options["gate_row"]` on wait until there is the file of `gate`."""
    time.sleep(options.get("seconds_per_row", 0.001))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while row_index >= options.get("gate_row", row_index + 1) and not Path(options["gate"]).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(options["gate"])
        time.sleep(0.01)
    return write(row_index, row, import_job_id, options)


def lose_transaction(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Writes; the first time it comes to each row of `loses_on` the transaction is gone, as at a deadlock on MySQL."""
    answer = write(row_index, row, import_job_id, options)
    if _is_first_at(row_index, options["loses_on"], options):
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
        return {"ok": False, "error": "deadlock"}
    return answer


def meet(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, and changes records that other chunks change in the opposite order, as rows of one customer do.

    As the guide has it, an error is the row's.
    """
    try:
        place = row_index if row_index // options["chunk_size"] % 2 else -row_index
        Carrier.objects.update_or_create(code=f"m{place % 40}", defaults={"name": str(row_index)})
        time.sleep(0.001)
        return write(row_index, row, import_job_id, options)
    except Exception as error:  # noqa: BLE001
        return {"ok": False, "error": str(error)}


def keep_a_note(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, and changes the job's own record, which is locked until the chunk ends."""
    if row_index % 100 == 1:
        ImportJob.objects.filter(pk=import_job_id).update(options=options | {"note": row_index})
    return write(row_index, row, import_job_id, options)


def swallow(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """Calls a row good after a statement of it has failed, as a careless handler does."""
    try:
        SeenRow.objects.create(job=import_job_id, row_index=None)
    except Exception as error:  # noqa: BLE001
        if row_index % 2:
            return {"ok": False, "error": type(error).__name__}
    return {"ok": True, "result": {}}


@not_atomic
def write_outside(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> Answer:
    """As `write`, with effects that no transaction undoes."""
    return write(row_index, row, import_job_id, options)


def write_in_batches(first_row_index: int, batch: Any, import_job_id: str, options: dict[str, Any]) -> Any:
    """Writes a record per row, refuses rows without an email, and raises on the name "crash" after it has written."""
    indexes = range(first_row_index, first_row_index + batch.height)
    SeenRow.objects.bulk_create([SeenRow(job=import_job_id, row_index=index) for index in indexes])
    if "crash" in batch["name"]:
        raise ValueError("crash")
    return [None if email else "Email is required" for email in batch["email"]]

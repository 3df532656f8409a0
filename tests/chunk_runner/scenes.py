"""What the tests of the chunk runner do to a chunk, and how they look at it."""

from __future__ import annotations

import threading
from typing import Any

from engine.model import Counts
from tests.in_process import InProcess


def chunk(here: InProcess, index: int = 0) -> Any:
    return list(here.ledger.chunk_states(here.job_id))[index]


def counts(success: int, failure: int = 0) -> Counts:
    return Counts(success_count=success, failure_count=failure)


def live(here: InProcess) -> Counts:
    snapshot = here.progress.snapshot(here.job_id)
    assert snapshot is not None
    return snapshot.counts


class TakenOver:
    """A handler during which, at one row, another process takes the chunk over."""

    def __init__(self, here: InProcess, at_row: int) -> None:
        self.here = here
        self.at_row = at_row
        self.rows: list[int] = []
        self.lost = threading.Event()

    def __call__(self, row_index: int, *_: Any) -> dict[str, Any]:
        self.rows.append(row_index)
        if len(self.rows) == self.at_row:
            self.here.dead.add("first")
            assert self.here.ledger.claim(self.here.job_id, 0, owner="second", token="second") is not None  # noqa: S106
        return {"ok": True}


def die(here: InProcess, number: int, *, at_row: int | None) -> None:
    """A process claims the chunk and dies, maybe while a watched row runs."""
    owner = f"dies-{number}"
    claim = here.ledger.claim(here.job_id, 0, owner=owner, token=owner)
    assert claim is not None
    if at_row is not None:
        here.ledger.watch_row(claim, at_row)
    here.dead.add(owner)

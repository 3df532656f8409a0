"""What became of each row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Characters of a cell or of a database's message that stand in an error; cells may be hostile.
MAX_VALUE_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 400


class Outcome:
    """Errors and results of a batch, filled in by position."""

    def __init__(self, height: int) -> None:
        self.errors: list[str | None] = [None] * height
        self.results: list[dict[str, Any] | None] = [None] * height

    def refuse(self, position: int, message: str) -> None:
        """Refuse a row; of several messages all are told."""
        before = self.errors[position]
        self.errors[position] = clipped(message) if before is None else f"{before} {clipped(message)}"
        self.results[position] = None

    def accept(self, position: int, pk: Any, *, created: bool) -> None:
        """Note which record a row became."""
        self.results[position] = {"id": pk, "created": created}

    def accept_many(self, positions: Sequence[int], stored: Sequence[tuple[Any, bool]]) -> None:
        """As `accept`, for as many records: each its key, and whether it was created."""
        results: list[dict[str, Any] | None] = [{"id": pk, "created": created} for pk, created in stored]
        if len(results) == len(self.results):  # all of them, as they ascend
            self.results = results
            return
        for position, result in zip(positions, results, strict=True):
            self.results[position] = result

    def take(self, positions: Sequence[int], part: Outcome) -> None:
        """Take over what became of some of the rows, which `part` counts from 0."""
        for position, error, result in zip(positions, part.errors, part.results, strict=True):
            self.errors[position], self.results[position] = error, result

    def open_positions(self) -> list[int]:
        """The rows that nothing speaks against so far."""
        return [position for position, error in enumerate(self.errors) if error is None]

    def as_answer(self) -> dict[str, list[Any]]:
        """What a batch handler returns."""
        return {"error": self.errors, "result": self.results}


def shown(value: Any) -> str:
    """A value as it stands in a message."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"


def clipped(message: str) -> str:
    """A message in one line of bounded length."""
    line = " ".join(message.split())
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[: MAX_MESSAGE_CHARACTERS - 1]}…"

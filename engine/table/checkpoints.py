"""Where reading can be ended in between: what takes long calls a checkpoint again and again, which may raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Checkpoint = Callable[[], None]


def no_checkpoint() -> None:
    """Never raises: what is read is wanted to its end."""


def watched(items: Iterable[Item], checkpoint: Checkpoint) -> Iterator[Item]:
    """The same items, a checkpoint before each."""
    for item in items:
        checkpoint()
        yield item

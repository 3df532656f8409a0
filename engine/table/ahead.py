"""Items that are made in a thread while those before them are worked on."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

#: Seconds between two looks of the thread whether anybody still wants what it makes.
_LOOK_SECONDS = 0.05


def ahead(items: Iterable[Item], count: int = 1) -> Iterator[Item]:
    """The same items in order, up to `count` of them ready and one more in the making.

    Closing the iterator ends the thread, and closes `items` in it. What they raise is raised here, in its turn.
    """
    ready: Queue[tuple[Item] | BaseException | None] = Queue(count)
    is_unwanted = threading.Event()

    def put(entry: tuple[Item] | BaseException | None) -> bool:
        while not is_unwanted.is_set():
            with suppress(Full):
                ready.put(entry, timeout=_LOOK_SECONDS)
                return True
        return False

    def make() -> None:
        last: BaseException | None = None
        try:
            for item in items:
                if not put((item,)):
                    return
        except BaseException as error:  # noqa: BLE001 - carried over
            last = error
        finally:
            if isinstance(items, Generator):
                items.close()
        put(last)

    thread = threading.Thread(target=make, name="rowmill-ahead", daemon=True)
    thread.start()
    try:
        while isinstance(entry := ready.get(), tuple):
            yield entry[0]
        if entry is not None:
            raise entry
    finally:
        is_unwanted.set()
        with suppress(Empty):
            ready.get_nowait()
        thread.join()

"""Items made ahead in a thread: the same ones, the same errors, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.table.ahead import ahead
from tests.readers.strategies import examples


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "rowmill-ahead"]


@examples(60)
@given(st.lists(st.integers()), st.integers(1, 4))
def test_items_come_in_their_order(items: list[int], count: int) -> None:
    assert list(ahead(iter(items), count)) == items
    assert threads() == []


def test_what_is_raised_comes_behind_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    found = ahead(broken())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
    assert threads() == []


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_than_asked_are_made_ahead(count: int) -> None:
    made: list[int] = []

    def counted() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    found = ahead(counted(), count)
    next(found)
    time.sleep(0.2)
    assert 1 <= len(made) <= 1 + count + 1
    found.close()  # type: ignore[attr-defined]


def test_closing_closes_the_source_in_its_own_thread() -> None:
    closed_by: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_by.append(threading.current_thread().name)

    found = ahead(endless())
    assert [next(found), next(found)] == [1, 1]
    found.close()  # type: ignore[attr-defined]
    assert closed_by == ["rowmill-ahead"]
    assert threads() == []

"""Whatever happens to a process that reads a hostile file, it is one clear error, soon, and no process is left."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.errors import SourceDamagedError, SourceEmptyError, SourceError
from engine.staging.limited_process import Death, Limits, table_of_process
from tests import own_children

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    with own_children.none_is_left():
        yield


def told(death: Death) -> SourceError:
    return SourceError(death.last_words, death=death)


def cells(
    before: str = "",
    between: str = "",
    *,
    seconds: float = 60.0,
    checkpoint: Callable[[], None] = lambda: None,
    most: int = 9,
    feed: Callable[[Callable[[bytes], None]], None] = lambda _: None,
) -> list[str]:
    request: dict[str, Any] = {"cell": "ü", "before": before, "between": between}
    limits = Limits(memory_bytes=200 * MIB, timeout_seconds=seconds)
    found: list[str] = []
    with table_of_process(
        "tests.staging.limited_child", request, limits, why=told, checkpoint=checkpoint, feed=feed
    ) as table:
        for batch in table:
            found += batch.column(0).to_pylist()
            if len(found) == most:
                break
    return found


def test_a_table_comes_through() -> None:
    assert cells() == ["ü", "ü"]


def test_it_does_not_load_pandas_where_that_is_installed() -> None:
    """As Arrow does elsewhere, when it is given a list."""
    assert importlib.util.find_spec("pandas") is not None
    assert cells("look for pandas") == ["False", "False"]


@pytest.mark.parametrize(("place", "what"), [("before", "tell"), ("before", "warn and tell"), ("between", "tell")])
def test_its_error_is_raised_here(place: str, what: str) -> None:
    """Also behind what a library has said on stderr, as calamine does of formats that it does not know."""
    with pytest.raises(SourceEmptyError, match=r"There is nothing\.") as caught:
        cells(**{place: what})
    assert (caught.value.source, caught.value.count) == ("s", 3)


@pytest.mark.parametrize(
    ("between", "is_of_memory"), [("memory", True), ("abort", False), ("crash", False), ("exit", False)]
)
def test_its_death_is_told(between: str, is_of_memory: bool) -> None:
    with pytest.raises(SourceError) as caught:
        cells(between=between)
    death: Death = caught.value.death
    assert (death.exit_code == 0) is (between == "exit")
    assert (death.is_of_memory, death.is_overdue) == (between == "memory", False)


def test_its_time_is_limited() -> None:
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        cells(between="hang", seconds=2.0)
    assert caught.value.death.is_overdue
    assert time.monotonic() - started < 30


def test_it_is_ended_when_nobody_wants_its_table() -> None:
    started = time.monotonic()

    def checkpoint() -> None:
        if time.monotonic() - started > 1.0:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        cells(between="hang", checkpoint=checkpoint)
    assert time.monotonic() - started < 30


def test_a_table_need_not_be_read_to_its_end() -> None:
    started = time.monotonic()
    assert cells(between="hang", most=1) == ["ü"]
    assert time.monotonic() - started < 30


def test_an_error_of_the_reader_ends_it_and_is_the_readers() -> None:
    with (
        pytest.raises(SourceDamagedError),
        table_of_process(
            "tests.staging.limited_child",
            {"cell": "x", "before": "", "between": "hang"},
            Limits(memory_bytes=200 * MIB, timeout_seconds=60.0),
            why=told,
            checkpoint=lambda: None,
        ),
    ):
        raise SourceDamagedError("mine", source="s")


def much(write: Callable[[bytes], None]) -> None:
    """More than a pipe holds."""
    for _ in range(5):
        write(b"x" * MIB)


def test_what_it_is_fed_comes_through() -> None:
    assert cells("read", feed=much) == [str(5 * MIB)] * 2


def test_its_time_is_limited_while_it_is_fed() -> None:
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        cells("hang", seconds=2.0, feed=much)
    assert caught.value.death.is_overdue
    assert time.monotonic() - started < 30


def test_it_is_ended_when_nobody_wants_to_feed_it() -> None:
    started = time.monotonic()

    def checkpoint() -> None:
        if time.monotonic() - started > 1.0:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        cells("hang", checkpoint=checkpoint, feed=much)
    assert time.monotonic() - started < 30


def test_what_it_told_is_raised_though_it_was_still_fed() -> None:
    with pytest.raises(SourceEmptyError, match=r"There is nothing\."):
        cells("tell", feed=much)


def test_an_error_of_who_feeds_it_ends_it() -> None:
    def refuse(write: Callable[[bytes], None]) -> None:
        write(b"x" * MIB)
        raise SourceDamagedError("mine", source="s")

    started = time.monotonic()
    with pytest.raises(SourceDamagedError, match="mine"):
        cells("read", between="hang", feed=refuse)
    assert time.monotonic() - started < 30

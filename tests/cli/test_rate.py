"""The rate and the time left that a run shows."""

from __future__ import annotations

import pytest

from engine.cli.rate import Rate, clock_text


def test_nothing_is_said_before_there_are_two_moments() -> None:
    rate = Rate()
    assert rate.rows_per_second is None
    rate.add(1.0, 100)
    assert (rate.rows_per_second, rate.seconds_left(1000)) == (None, None)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(window_seconds=10.0)
    for second in range(100):
        rate.add(float(second), 10 * min(second, 50) + 1000 * max(0, second - 50))
    assert rate.rows_per_second == pytest.approx(1000.0)
    assert rate.seconds_left(10 * 50 + 1000 * 49 + 5000) == pytest.approx(5.0)


def test_counts_that_a_retried_chunk_takes_back_do_not_make_it_negative() -> None:
    rate = Rate()
    rate.add(0.0, 500)
    rate.add(1.0, 300)
    assert rate.rows_per_second == 0.0
    assert rate.seconds_left(1000) is None


def test_nothing_is_left_beyond_the_end() -> None:
    rate = Rate()
    rate.add(0.0, 0)
    rate.add(1.0, 500)
    assert rate.seconds_left(None) is None
    assert rate.seconds_left(400) == 0.0


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (7.6, "0:08"), (725.0, "12:05"), (10810.0, "3:00:10")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text

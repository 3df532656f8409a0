"""Time limits of tasks leave nothing behind in a worker's own process."""

from __future__ import annotations

from kombu.asynchronous.hub import Hub

from engine.runtime.spent_timers import let_go_soon

MONTH_SECONDS = 30 * 86_400


def test_cancelled_timers_are_let_go_and_the_others_fire_in_their_order() -> None:
    hub, fired = Hub(), list[int]()
    for number in range(1_000):
        hub.call_later(MONTH_SECONDS, fired.append, number).cancel()
    for number in (2, 1, 0):
        hub.call_later(number / 100, fired.append, number)
    hub.call_later(MONTH_SECONDS, fired.append, 3)
    let_go_soon(hub)
    while len(fired) < 3:
        hub.run_once()
    assert fired == [0, 1, 2]
    assert len(hub.timer) == 1
    hub.close()


def test_a_worker_without_an_event_loop_is_let_be() -> None:
    let_go_soon(None)

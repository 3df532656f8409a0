"""The soft time limit of Celery interrupts no step of an import."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from billiard.pool import SIG_SOFT_TIMEOUT, SoftTimeLimitExceeded, soft_timeout_sighandler

from engine.runtime import celery_tasks
from engine.runtime.soft_limit import no_soft_time_limit


@pytest.fixture(autouse=True)
def _as_in_a_child_of_a_worker() -> Iterator[None]:
    before = signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
    yield
    signal.signal(SIG_SOFT_TIMEOUT, before)


def test_within_a_step_it_is_held_off_and_behind_it_holds_again() -> None:
    with no_soft_time_limit():
        os.kill(os.getpid(), SIG_SOFT_TIMEOUT)
    with pytest.raises(SoftTimeLimitExceeded):
        os.kill(os.getpid(), SIG_SOFT_TIMEOUT)


def test_who_handles_the_signal_otherwise_goes_on_to() -> None:
    seen: list[int] = []
    signal.signal(SIG_SOFT_TIMEOUT, lambda number, _: seen.append(number))
    with no_soft_time_limit():
        os.kill(os.getpid(), SIG_SOFT_TIMEOUT)
    assert seen == [SIG_SOFT_TIMEOUT]


@pytest.mark.parametrize("name", ["plan_job", "run_chunk", "finish_job", "help_merge"])
def test_every_step_of_the_engines_is_such_a_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held_off: list[bool] = []

    def look(_: str) -> None:
        held_off.append(signal.getsignal(SIG_SOFT_TIMEOUT) is signal.SIG_IGN)
        raise LookupError

    monkeypatch.setattr(celery_tasks, "process_parts", look)
    arguments = {"plan_job": ["j"], "run_chunk": ["j", 0], "finish_job": ["j"], "help_merge": ["j", 0, 0]}[name]
    with pytest.raises(LookupError):
        getattr(celery_tasks, name)("ledger", *arguments)
    assert held_off == [True]

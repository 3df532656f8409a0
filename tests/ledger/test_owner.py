from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine.ledger import owner as owners

_TELL_AND_WAIT = (
    "import sys; from engine.ledger.owner import this_process; print(this_process(), flush=True); sys.stdin.read()"
)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """Prints its owner's name and ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, "-c", _TELL_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def with_part(owner: str, position: int, value: str) -> str:
    parts = owner.split("|")
    parts[position] = value
    return "|".join(parts)


def test_the_calling_process_lives_and_has_one_name() -> None:
    assert owners.this_process() == owners.this_process()
    assert owners.is_dead(owners.this_process()) is False


def test_another_process_lives_until_it_ends(process: subprocess.Popen[str]) -> None:
    name = name_of(process)
    assert name != owners.this_process()
    assert owners.is_dead(name) is False
    process.kill()
    # Not asked for its exit code yet: a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owners.is_dead(name) is True
    process.wait()
    assert owners.is_dead(name) is True


def test_a_stopped_process_lives(process: subprocess.Popen[str]) -> None:
    name = name_of(process)
    os.kill(process.pid, signal.SIGSTOP)
    assert owners.is_dead(name) is False


def test_a_process_id_that_was_given_out_again_is_not_the_owner() -> None:
    mine = owners.this_process()
    started = int(mine.split("|")[-1])
    assert owners.is_dead(with_part(mine, -1, str(started - 1))) is True


@pytest.mark.parametrize("place", ["elsewhere/boot/pid:[1]", "", "elsewhere"])
def test_nothing_is_known_of_a_process_elsewhere(place: str) -> None:
    mine = owners.this_process()
    assert owners.is_dead(with_part(mine, 0, place)) is None
    assert owners.is_dead(with_part(with_part(mine, 0, place), 1, "4194304000")) is None


@pytest.mark.parametrize("name", ["", "|", "||", "worker-7", "place|12", "place|x|y", "²"])
def test_nothing_is_known_of_what_is_no_name(name: str) -> None:
    assert owners.is_dead(name) is None


@pytest.mark.parametrize("pid", ["x", "²", "-1", "0", ""])
def test_nothing_is_known_of_what_is_no_process_id(pid: str) -> None:
    assert owners.is_dead(with_part(owners.this_process(), 1, pid)) is None


def test_a_process_id_beyond_all_is_dead() -> None:
    assert owners.is_dead(with_part(owners.this_process(), 1, str(10**30))) is True


def test_a_process_of_another_user_that_proc_hides_may_live(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = owners.this_process()

    def not_ours(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_ours)
    assert owners.is_dead(mine) is False
    monkeypatch.setattr(owners, "_state", lambda _pid: None)
    assert owners.is_dead(mine) is None


def test_without_proc_a_process_is_told_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_state", lambda _pid: None)
    mine = owners.this_process()
    assert mine.endswith("|")
    assert owners.is_dead(mine) is False
    assert owners.is_dead(with_part(mine, 1, str(10**30))) is True


def test_a_forked_child_has_a_name_of_its_own() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest is to run here
        os.write(writer, owners.this_process().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() != owners.this_process()
    os.waitpid(child, 0)

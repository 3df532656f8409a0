from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_START = """
import resource
import sys
from pathlib import Path
from engine.runtime import process_memory

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024

def handle_blocks():
    for _ in range(3):
        blocks = [bytearray(b"x") * (6 << 20) for _ in range(2)]
        pin = bytearray(100_000)  # lies behind the blocks, where these come from the heap
        del blocks
    return pin
"""
_PROGRAM = f"""
{_START}
pins = [bytearray(b"x") * 100_000 for _ in range(50)]  # fill what holes there are
for step in sys.argv[1].split("+"):
    if step != "usual":
        exec("process_memory." + step)
    before, faults = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = handle_blocks()
print(resident() - before, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""
_PROGRAM_OF_TWO_STEPS = f"""
{_START}
process_memory.keep_freed_memory(8 << 20)
before = resident()
pin = handle_blocks()
print(resident() - before)
process_memory.give_back_freed_memory()
print(resident() - before)
"""
_ONE_ROUND_OF_FAULTS = 2 * (6 << 20) // 4096


def _grown_and_faults(steps: str) -> tuple[int, int]:
    """MiB that stay resident behind the last step, and page faults within it."""
    grown, faults = _output(_PROGRAM, steps).split()
    return int(grown), int(faults)


def _output(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")


def test_blocks_that_are_given_back_leave_nothing_behind() -> None:
    grown, _ = _grown_and_faults("give_back_freed_memory()")
    usually_grown, _ = _grown_and_faults("usual")
    assert grown <= 2 < usually_grown


def test_memory_that_is_kept_is_there_for_the_next_block() -> None:
    # Something small may lie in what the first step has left behind (Python 3.13): the second then grows by a block.
    _, faults = _grown_and_faults("+".join(["keep_freed_memory(8 << 20)"] * 3))
    _, faults_without = _grown_and_faults("give_back_freed_memory()")
    assert faults < _ONE_ROUND_OF_FAULTS / 4
    assert faults_without > 2.5 * _ONE_ROUND_OF_FAULTS


def test_what_was_kept_goes_back_when_the_next_step_begins() -> None:
    kept, given_back = (int(line) for line in _output(_PROGRAM_OF_TWO_STEPS).split())
    assert given_back <= 4 < 11 <= kept

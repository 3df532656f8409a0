from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from pathlib import Path
from engine.runtime.process_memory import bound_heap, keep_process_small

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024

if sys.argv[1] == "small":
    keep_process_small()
if sys.argv[1] == "bounded":
    bound_heap()
pins = [bytearray(b"x") * 100_000 for _ in range(50)]  # fill what holes there are
before = resident()
for _ in range(3):
    blocks = [bytearray(b"x") * (8 << 20) for _ in range(2)]
    pins.append(bytearray(b"x") * 100_000)  # lies behind the blocks, where these come from the heap
    del blocks
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_blocks_that_are_freed_go_back_to_the_system() -> None:
    grown = {}
    for kind in ("small", "bounded", "usual"):
        done = subprocess.run([sys.executable, "-c", _PROGRAM, kind], check=True, capture_output=True, text=True)
        grown[kind] = int(done.stdout)
    assert max(grown["small"], grown["bounded"]) <= 2 < grown["usual"]

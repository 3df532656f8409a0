"""Runs a command and measures it: seconds, processor time and the peak memory of every process it starts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MIB = 1024 * 1024
#: Seconds between two looks at the processes, and for how many looks the shorter time holds: a small run's workers live
#: for some hundredths of a second. The kernel keeps the peaks, so that few looks miss little of a longer one.
_FIRST_LOOK_SECONDS, _LOOK_SECONDS, _FIRST_LOOKS = 0.005, 0.1, 100
_LOG_TAIL_CHARACTERS = 2000


class CaseFailedError(Exception):
    """The command ended with an error; the message ends with what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run took."""

    seconds: float
    """From start to exit; for a command that has a clock of its own, what that says."""
    whole_seconds: float
    """From start to exit."""
    cpu_seconds: float
    """User and system, of the command, its children and the watched workers."""
    server_cpu_seconds: float
    """The same of databases and storages, which share the machine."""
    peak_mib: tuple[float, ...]
    """Of each process, the largest first; servers not included."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the command printed as JSON in its last line."""


@dataclass
class _Seen:
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    cpu_before: float = 0.0


class _Watch:
    """Looks at trees of processes from a thread."""

    def __init__(self, roots: Sequence[int], *, are_new: bool = False) -> None:
        """
        Args:
            are_new: what they have taken so far counts as well.
        """
        self._roots = roots
        self._ended = threading.Event()
        self.seen: dict[tuple[int, float], _Seen] = {}
        self._is_first = not are_new
        self.look()
        self._is_first = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def look(self) -> None:
        for root in self._roots:
            for pid in _tree(root):
                self._look_at(pid)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self.look()

    def _look_at(self, pid: int) -> None:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            peak_bytes, times = _peak_bytes(process), process.cpu_times()
            if not peak_bytes:
                return  # it has ended a moment ago; what was seen of it stays
            seen = self.seen.setdefault((pid, process.create_time()), _Seen())
            seen.cpu_seconds = times.user + times.system
            if self._is_first:
                seen.cpu_before = seen.cpu_seconds
                _forget_peak(pid)
                peak_bytes = _peak_bytes(process)
            seen.peak_bytes = max(seen.peak_bytes, peak_bytes)

    def _run(self) -> None:
        looks = 0
        while not self._ended.wait(_FIRST_LOOK_SECONDS if looks < _FIRST_LOOKS else _LOOK_SECONDS):
            self.look()
            looks += 1

    @property
    def cpu_seconds(self) -> float:
        return sum(seen.cpu_seconds - seen.cpu_before for seen in self.seen.values())


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    workers: Sequence[int] = (),
    servers: Sequence[int] = (),
) -> Measurement:
    """Run the command to its end.

    Args:
        folder: the one it runs in.
        workers: process ids of others that do its work, measured with their children.
        servers: process ids of what it uses, such as a database.

    Raises:
        CaseFailedError: it ended with an error.
    """
    worker_watch, server_watch = _Watch(workers), _Watch(servers)
    cpu_before = _children_cpu_seconds()
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own commands
        command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch([process.pid], are_new=True)
    out, err = process.communicate()
    seconds = time.perf_counter() - began
    for each in (watch, worker_watch, server_watch):
        each.end()
    if process.returncode:
        said = (out + err)[-_LOG_TAIL_CHARACTERS:].strip()
        last_line = said.rpartition("\n")[2]
        raise CaseFailedError(f"ended with {process.returncode}: {last_line}\n{' '.join(command)}\n{said}")
    told = _last_json(out)
    all_seen = [*watch.seen.values(), *worker_watch.seen.values()]
    return Measurement(
        seconds=float(told.get("seconds", seconds)),
        whole_seconds=seconds,
        # The kernel knows it exactly of processes that were waited for; of others there is what was seen.
        cpu_seconds=max(_children_cpu_seconds() - cpu_before, watch.cpu_seconds) + worker_watch.cpu_seconds,
        server_cpu_seconds=server_watch.cpu_seconds,
        peak_mib=tuple(sorted((seen.peak_bytes / MIB for seen in all_seen), reverse=True)),
        told=told,
    )


def _children_cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree(root: int) -> list[int]:
    """The process and all below it that live."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        with suppress(psutil.Error):
            return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    pids = [root]
    for pid in pids:
        # A process may end at any moment, and a thread.
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    pids += map(int, (task / "children").read_text().split())
    return pids


def _peak_bytes(process: psutil.Process) -> int:
    """The most that it has had resident, since it was started or since `_forget_peak`; 0 once it has ended."""
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return int(process.memory_info().rss)


def _forget_peak(pid: int) -> None:
    """Linux counts the peak of a process that was there before anew from here; elsewhere nothing happens."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _last_json(out: str) -> dict[str, Any]:
    """The JSON object that the output ends with; empty where there is none."""
    start = out.find("{") if out.lstrip().startswith("{") else out.rfind("\n{") + 1
    with suppress(ValueError):
        found = json.loads(out[start:])
        if isinstance(found, dict):
            return found
    return {}


def base_environment(root: Path) -> dict[str, str]:
    """What every command gets. Python keeps what it has compiled, as it does unless told otherwise."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}

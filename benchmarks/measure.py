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
#: Seconds between two looks at the processes, the first and the longest, and by how much they grow. A small run's
#: workers live for some hundredths of a second, and looking takes processor time from a run that uses all of it. The
#: kernel keeps the peaks, so that few looks miss little.
_FIRST_LOOK_SECONDS, _LOOK_SECONDS, _GROWTH = 0.01, 0.1, 1.1
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
            peak_bytes, cpu_seconds, started_at = _facts(pid)
            if not peak_bytes:
                return  # it has ended a moment ago; what was seen of it stays
            seen = self.seen.setdefault((pid, started_at), _Seen())
            seen.cpu_seconds = cpu_seconds
            if self._is_first:
                seen.cpu_before = cpu_seconds
                _forget_peak(pid)
                peak_bytes = _facts(pid)[0]
            seen.peak_bytes = max(seen.peak_bytes, peak_bytes)

    def _run(self) -> None:
        pause = _FIRST_LOOK_SECONDS
        while not self._ended.wait(pause):
            self.look()
            pause = min(pause * _GROWTH, _LOOK_SECONDS)

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


def _facts(pid: int) -> tuple[int, float, float]:
    """Of a process: the most bytes it has had resident, since its start or since `_forget_peak`, 0 if it has ended;
    its processor seconds; what tells it from another of the same number.

    Raises:
        OSError, psutil.Error: there is none.
    """
    try:
        status, stat = Path(f"/proc/{pid}/status").read_text(), Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        process = psutil.Process(pid)  # there is no /proc; else this raises
        times = process.cpu_times()
        return int(process.memory_info().rss), times.user + times.system, process.create_time()
    peak = status.partition("VmHWM:")[2].split(maxsplit=1)
    fields = stat.rpartition(")")[2].split()  # from the state on, which is the third
    ticks = os.sysconf("SC_CLK_TCK")
    return int(peak[0]) * 1024 if peak else 0, (int(fields[11]) + int(fields[12])) / ticks, float(fields[19])


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

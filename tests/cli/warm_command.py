"""The `rowmill` command in a process forked from one that has loaded it: a fresh start takes a third of a second.

What such a process loads is what the script loads before it has looked at its command line; streams, folder and
environment are those of each request, and the process ends as the script's does. Tests of the start itself, of
signals and of terminals start the script.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 90


class WarmCommand:
    """Runs commands one after the other."""

    def __init__(self, script: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm_command", script],
            env=dict(environment),
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self._end)

    def run(self, words: list[str], *, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
            request = {"words": words, "cwd": str(cwd), "environment": dict(environment)}
            request |= {"stdout": stdout.name, "stderr": stderr.name}
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], _TIMEOUT_SECONDS)[0]:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(words, _TIMEOUT_SECONDS)
            code = int(self._process.stdout.readline())
            texts = [Path(file.name).read_text(encoding="utf-8", errors="replace") for file in (stdout, stderr)]
        return subprocess.CompletedProcess(words, code, *texts)

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def serve() -> None:
    """Fork for every request, and say with what exit code the fork has ended; in the fork, return."""
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(request)
            return
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(1, b"%d\n" % code)
    sys.exit()


def _become(request: dict[str, Any]) -> None:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY),
        (2, request["stderr"], os.O_WRONLY),
    ):
        descriptor = os.open(path, flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.argv = [sys.argv[1], *request["words"]]


if __name__ == "__main__":
    from engine.cli import main, run_command  # noqa: F401 - what the script loads

    sys.path.remove(os.getcwd())
    serve()
    sys.exit(main())

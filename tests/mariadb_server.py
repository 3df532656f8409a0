"""A real MariaDB for the tests of `scripts/test-mariadb`: Debian has one, the package indexes have none."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import services

#: For parameters of tests: the vendor's name, where that script runs them.
MARIADB = ["mysql"] if os.environ.get("TEST_MARIADB") else []


@contextmanager
def start_mariadb() -> Iterator[str]:
    """Yield the URL of a server whose user may make databases. Durability is switched off, as for PostgreSQL."""

    def command(port: int, folder: Path) -> list[str]:
        user = f"--user={os.environ.get('USER', 'root')}"
        where = ["--no-defaults", f"--datadir={folder / 'data'}"]
        subprocess.run(
            ["mariadb-install-db", *where, user, "--auth-root-authentication-method=normal"],  # noqa: S607
            check=True,
            capture_output=True,
        )
        begin = folder / "begin.sql"
        begin.write_text("CREATE USER rowmill@'127.0.0.1';\nGRANT ALL ON *.* TO rowmill@'127.0.0.1';\n")
        return [
            *["mariadbd", *where, user, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 's'}"],
            # Users by their address, among whom the nameless one of an installation is not.
            *["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", f"--init-file={begin}"],
        ]

    def is_ready(port: int) -> bool:
        try:
            _connection(_url(port)).close()
        except OSError:
            return False
        except Exception as error:
            if type(error).__name__ != "OperationalError":
                raise
            return False
        return True

    with services._server(command, is_ready) as port:
        yield _url(port)


def make_mariadb_database(server_url: str) -> str:
    """The URL of a new database."""
    name = f"d{secrets.token_hex(6)}"
    connection = _connection(server_url)
    connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    connection.close()
    return f"{server_url.rpartition('/')[0]}/{name}"


def _url(port: int) -> str:
    return f"mysql://rowmill@127.0.0.1:{port}/"


def _connection(url: str) -> Any:
    import MySQLdb

    parts = urlsplit(url)
    return MySQLdb.connect(host=parts.hostname, port=parts.port, user=parts.username)

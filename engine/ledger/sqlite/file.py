"""The file of a SQLite ledger: opening it, its connections, its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import LedgerError

#: How long a statement waits for another process's transaction; transactions here take milliseconds.
_BUSY_SECONDS = 30.0
#: Marks a file as a ledger, among other programs' SQLite files: "rowm".
_APPLICATION_ID = 0x726F776D
#: Counts the forms of the tables in `schema.sql`.
_SCHEMA_VERSION = 5


class SqliteFile:
    """One file, opened anew in every thread that uses it. All errors come out as LedgerError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file, or create it with its folder.

        Raises:
            LedgerError: the file cannot be opened, or is not a ledger.
        """
        self.path = os.path.abspath(path)
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._parents: dict[threading.Thread, sqlite3.Connection] = {}
        self._process = os.getpid()
        self._inode: int | None = None
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_opened(error) from error
        self._connection()

    def read(self, query: str, *values: Any) -> list[Any]:
        """Every row that the query finds, its columns by name."""
        connection = self._connection()
        try:
            return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"The ledger {self.path} cannot be read: {error}.", path=self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Gives `execute`; what it did is kept when the context ends well, and undone otherwise."""
        connection = self._connection()
        try:
            # Immediate: two processes that both read first and write later would otherwise fail each other.
            connection.execute("BEGIN IMMEDIATE")
            yield connection.execute
            connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeEncodeError) as error:
            _roll_back(connection)
            raise LedgerError(f"The ledger {self.path} cannot be written: {error}.", path=self.path) from error
        except BaseException:
            _roll_back(connection)
            raise

    def close(self) -> None:
        """Close this process's connections; a later call opens the file again."""
        with self._lock:
            self._leave_parents_connections()
            self._close_all()

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that the path names now."""
        try:
            with self._lock:
                self._leave_parents_connections()
                if self._inode is not None and self._inode != self._inode_now():
                    # Somebody removed the file, and maybe a new run made another: what is open is nobody's any more.
                    self._close_all()
                found = self._connections.get(threading.current_thread())
                return found or self._open()
        except (OSError, sqlite3.Error) as error:
            raise self._not_opened(error) from error

    def _open(self) -> sqlite3.Connection:
        # A heartbeat's thread lives as long as its chunk: what ended threads leave behind would fill the process.
        for ended in [thread for thread in self._connections if not thread.is_alive()]:
            self._connections.pop(ended).close()
        if not self._connections:
            # A file that nobody has open may have given its inode to another one.
            self._inode = None
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            if self._inode != self._inode_now():
                _make_or_check_tables(connection)
                self._inode = self._inode_now()
        except BaseException:
            connection.close()
            raise
        self._connections[threading.current_thread()] = connection
        return connection

    def _close_all(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _leave_parents_connections(self) -> None:
        if self._process != os.getpid():
            # SQLite forbids carrying a connection over a fork. Kept, since to drop the last reference is to close it.
            self._parents, self._connections, self._process = self._connections, {}, os.getpid()

    def _inode_now(self) -> int | None:
        try:
            return os.stat(self.path).st_ino
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _not_opened(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"The ledger {self.path} cannot be opened: {error}. Name another file with --ledger.", path=self.path
        )


def _make_or_check_tables(connection: sqlite3.Connection) -> None:
    """Make an empty file a ledger; refuse one that something else wrote. Several may do this at once."""
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        _set_write_ahead_log(connection)
        schema = Path(__file__).with_name("schema.sql").read_text()
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema}; PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT"
        )
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise sqlite3.DatabaseError("it is a database of another program")
    if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
        raise sqlite3.DatabaseError("another version of rowmill made it")


def _set_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; where others have the file in use, SQLite does not wait for that by itself."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # closed meanwhile, or rolled back by SQLite itself
        if connection.in_transaction:
            connection.execute("ROLLBACK")

"""A proxy on the loopback between a client and any server that speaks TCP: Redis, PostgreSQL, S3.

It knows nothing of what is said. It delays, cuts and corrupts, at once or when certain bytes pass.
(`tests.storage.faulty_proxy` understands HTTP, and spoils one request at a time.)
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

_BUFFER_BYTES = 64 * 1024


@dataclass(kw_only=True)
class Trap:
    """Something that goes wrong with the connection on which the client says all of `words`, in order."""

    words: Sequence[bytes]
    fault: Literal["request lost", "answer lost", "answer corrupt", "none"]
    times: int = 1
    sprung: int = 0
    then: Callable[[], None] = lambda: None
    """Called before the last of the words goes on."""


@dataclass(kw_only=True)
class Wire:
    """What the wire does to connections; a test changes it at any time."""

    delay_seconds: float = 0.0
    """Before any bytes go on, in either direction."""
    bytes_per_second: float | None = None
    """What one connection carries, in each direction; None: as much as there is."""
    is_down: bool = False
    """New connections are closed at once."""
    traps: list[Trap] = field(default_factory=list)
    connections: int = 0
    """Made so far."""
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds_for(self, block: bytes) -> float:
        """How long a block is on its way."""
        return self.delay_seconds + (len(block) / self.bytes_per_second if self.bytes_per_second else 0.0)

    def cut(self) -> int:
        """Cut every connection there is; returns how many clients that were."""
        with self._lock:
            found = tuple(self._open)
        for each in found:
            _close(each)
        return len(found) // 2

    def go_down(self) -> None:
        """Cut all, and refuse new ones until `is_down` is False."""
        self.is_down = True
        self.cut()


@contextmanager
def shaky_wire(host: str, port: int) -> Iterator[tuple[Wire, int]]:
    """A wire to that server, and the port of the loopback at which it begins."""
    wire = Wire()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=_accept, args=(listener, (host, port), wire), daemon=True)
        acceptor.start()
        try:
            yield wire, listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            wire.cut()


def _accept(listener: socket.socket, server_address: tuple[str, int], wire: Wire) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            wire.connections += 1
            if wire.is_down:
                client.close()
                continue
            threading.Thread(target=_connect, args=(client, server_address, wire), daemon=True).start()


def _connect(client: socket.socket, server_address: tuple[str, int], wire: Wire) -> None:
    try:
        server = socket.create_connection(server_address, timeout=10)
    except OSError:
        client.close()
        return
    server.settimeout(None)
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with wire._lock:
        wire._open |= {client, server}
    conversation = _Conversation(client, server, wire)
    back = threading.Thread(target=conversation.answers, daemon=True)
    back.start()
    conversation.requests()
    back.join()
    with wire._lock:
        wire._open -= {client, server}
    client.close()
    server.close()


class _Conversation:
    """One client's connection."""

    def __init__(self, client: socket.socket, server: socket.socket, wire: Wire) -> None:
        self._client = client
        self._server = server
        self._wire = wire
        self._heard: dict[int, int] = {}  # trap → how many of its words this client has said
        self._next_answer: str | None = None

    def requests(self) -> None:
        """Client → server, until one of them ends it."""
        with suppress(OSError):
            while block := self._client.recv(_BUFFER_BYTES):
                time.sleep(self._wire.seconds_for(block))
                fault = self._sprung(block)
                if fault == "request lost":
                    break
                self._next_answer = fault or self._next_answer
                self._server.sendall(block)
        self._end()

    def answers(self) -> None:
        """Server → client."""
        with suppress(OSError):
            while block := self._server.recv(_BUFFER_BYTES):
                time.sleep(self._wire.seconds_for(block))
                if self._next_answer == "answer lost":
                    break
                if self._next_answer == "answer corrupt":
                    self._next_answer = None
                    block = bytes(byte ^ 0x55 for byte in block[:8]) + block[8:]
                self._client.sendall(block)
        self._end()

    def _sprung(self, block: bytes) -> str | None:
        for index, trap in enumerate(self._wire.traps):
            heard, position = self._heard.get(index, 0), 0
            while heard < len(trap.words) and (found := block.find(trap.words[heard], position)) >= 0:
                position = found + len(trap.words[heard])
                heard += 1
            self._heard[index] = heard
            if heard == len(trap.words):
                self._heard[index] = 0
                with self._wire._lock:
                    is_sprung = trap.sprung < trap.times
                    trap.sprung += is_sprung
                if is_sprung:
                    trap.then()
                    return None if trap.fault == "none" else trap.fault
        return None

    def _end(self) -> None:
        _close(self._client)
        _close(self._server)


def _close(connection: socket.socket) -> None:
    """End it for both directions, also for a thread that waits on it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

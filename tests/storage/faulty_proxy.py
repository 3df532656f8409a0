"""A proxy on the loopback that spoils connections to a server in a planned way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BUFFER_BYTES = 64 * 1024


@dataclass(kw_only=True)
class Faults:
    """What is to go wrong; a test changes it at any time, and it holds for requests from then on."""

    refusals: int = 0
    """So many requests get `refusal_status` and never reach the server."""
    refusal_status: str = "503 Slow Down"
    cuts: int = 0
    """So many answers that are longer than `cut_after_bytes` end there, the connection closed."""
    cut_after_bytes: int = 0
    spared: bytes | None = None
    """A request whose head holds these bytes is not cut."""
    lost_answers: list[bytes] = field(default_factory=list)
    """A request that begins with the first of these reaches the server, and its answer nobody."""
    page: bytes = b""
    """What is answered, with the status 200, in place of the server, as proxies of hotels and companies do."""
    paged: list[bytes] = field(default_factory=list)
    """A request that begins with the first of these never reaches the server, and gets the page."""
    changed: dict[str, set[int]] = field(default_factory=dict)
    """"GET" or "PUT" → which of these requests that carry an object, counted from 1, have a byte of it changed."""
    changed_once_after: dict[str, int] = field(default_factory=dict)
    """"GET" or "PUT" → after so many of these requests, each has a byte changed when it is made the first time; made
    again, it is carried as it is, in whatever order threads ask."""
    seen: set[tuple[bytes, bytes]] = field(default_factory=set)
    """Request line and range of those that have been changed so."""
    carried: dict[str, int] = field(default_factory=dict)
    """How many requests that carry an object there were."""
    requests: list[bytes] = field(default_factory=list)
    """First line of every request seen, spoiled ones included."""


@contextmanager
def faulty_proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """Yields an endpoint that forwards to the given one, except for the faults.

    Each connection carries one request: the proxy asks both sides to close.
    """
    target = urlsplit(endpoint)
    assert target.hostname is not None
    assert target.port is not None
    server_address = (target.hostname, target.port)
    lock = threading.Lock()
    workers: list[threading.Thread] = []

    def handle(client: socket.socket) -> None:
        with client, suppress(OSError):
            _handle(client, server_address, faults, lock)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                worker = threading.Thread(target=handle, args=(client,))
                worker.start()
                workers.append(worker)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for worker in workers:
                worker.join()


def _handle(client: socket.socket, server_address: tuple[str, int], faults: Faults, lock: threading.Lock) -> None:
    client.settimeout(30)
    head, body = _read_head(client)
    if not head:
        return
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
    if b"expect: 100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        received = client.recv(_BUFFER_BYTES)
        if not received:
            return
        body += received
    with lock:
        faults.requests.append(lines[0])
        refuse = faults.refusals > 0
        faults.refusals -= refuse
        lose = bool(faults.lost_answers) and lines[0].startswith(faults.lost_answers[0])
        if lose:
            faults.lost_answers.pop(0)
        is_paged = bool(faults.paged) and lines[0].startswith(faults.paged[0])
        if is_paged:
            faults.paged.pop(0)
        method = lines[0].partition(b" ")[0].decode()
        change = _carries_object(method, head, body) and _is_next_changed(faults, method, lines)
    if change and method == "PUT":
        body = _with_a_byte_changed(body, faults)
    if refuse:
        client.sendall(f"HTTP/1.1 {faults.refusal_status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        return
    if is_paged:
        facts = f"Content-Type: text/html\r\nContent-Length: {len(faults.page)}\r\nConnection: close"
        client.sendall(f"HTTP/1.1 200 OK\r\n{facts}\r\n\r\n".encode() + faults.page)
        return
    with socket.create_connection(server_address, timeout=30) as server:
        server.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
        cut = faults.spared is None or faults.spared not in head
        _forward(server, client, faults, lock, cut=cut, lose=lose, change=change and method == "GET")


def _carries_object(method: str, head: bytes, body: bytes) -> bool:
    return (method == "PUT" and bool(body)) or (method == "GET" and b"\r\nrange:" in head.lower())


def _is_next_changed(faults: Faults, method: str, lines: list[bytes]) -> bool:
    number = faults.carried[method] = faults.carried.get(method, 0) + 1
    if number <= faults.changed_once_after.get(method, number):
        return number in faults.changed.get(method, ())
    asked = (lines[0], next((line for line in lines if line.lower().startswith(b"range:")), b""))
    is_first = asked not in faults.seen
    faults.seen.add(asked)
    return is_first


def _with_a_byte_changed(data: bytes, faults: Faults) -> bytes:
    """Each time at another place; what is changed looks as good as before, a digit or letter becomes another one."""
    start = 7919 * sum(faults.carried.values()) % len(data)
    at = next((index for index in (*range(start, len(data)), *range(start)) if data[index : index + 1].isalnum()), 0)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _forward(
    server: socket.socket,
    client: socket.socket,
    faults: Faults,
    lock: threading.Lock,
    *,
    cut: bool,
    lose: bool,
    change: bool,
) -> None:
    head, body = _read_head(server)
    if lose:
        while server.recv(_BUFFER_BYTES):
            pass
        return
    client.sendall(head + b"\r\n\r\n")
    sent = 0
    while block := body or server.recv(_BUFFER_BYTES):
        body = b""
        if change:
            block, change = _with_a_byte_changed(block, faults), False
        if cut and faults.cuts > 0 and sent + len(block) > faults.cut_after_bytes:
            with lock:
                faults.cuts -= 1
            client.sendall(block[: faults.cut_after_bytes - sent])
            return
        client.sendall(block)
        sent += len(block)


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Everything before the empty line, and what came of the body with it; nothing where the peer is gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(_BUFFER_BYTES)
        if not block:
            return b"", b""
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body

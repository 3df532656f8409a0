"""Plain HTTP, as a client without any library of ours sends it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request to a server on this machine, past any proxy."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # a server that has read enough to refuse
            connection.request(
                method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers or {}
            )
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def put(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """A PUT. Without a content type of the caller's, bytes: moto loses bodies of forms."""
    return send("PUT", url, body, {"Content-Type": "application/octet-stream", **(headers or {})})


def get(url: str) -> Answer:
    """A GET."""
    return send("GET", url)
